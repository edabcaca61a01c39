"""Each function on this system, and where its system calls are missing."""

import os
import select
import subprocess
import sys
import time

import pytest
from portable import make_pipe

from bnzoo import machine
from bnzoo.cli import streams


def test_cores(monkeypatch):
    assert 1 <= machine.available_cores() <= os.cpu_count()
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert machine.available_cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert machine.available_cores() == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx2 avx512_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni", False),
        (None, True),
    ],
)
def test_instructions_for_bfloat16(monkeypatch, tmp_path, text, expected):
    file = tmp_path / "cpuinfo"
    if text:
        file.write_text(text)
    monkeypatch.setattr(machine, "_PROCESSOR", file)
    assert machine.may_have_bfloat16() is expected


AGE = """
import runpy, sys, time
age = runpy.run_path(sys.argv[1])["process_seconds"]
print(time.process_time(), age())
"""


def test_the_age_of_the_process(monkeypatch):
    """A process is at least as old as its work is long, and at most as old as the wait for it, but for a few ticks."""
    start = time.monotonic()
    child = subprocess.run([sys.executable, "-c", AGE, machine.__file__], capture_output=True, text=True, check=True)
    waited = time.monotonic() - start
    worked, age = map(float, child.stdout.split())
    assert worked - 0.05 <= age <= waited + 0.05
    monkeypatch.delattr(os, "sysconf", raising=False)
    before = time.process_time()
    assert before <= machine.process_seconds() <= time.process_time()


def test_memory(monkeypatch):
    assert machine.memory() > 2**28
    monkeypatch.delattr(os, "sysconf", raising=False)
    assert machine.memory() == float("inf")


@pytest.fixture(params=["as it is", "without the flags"])
def flags(request, monkeypatch):
    if request.param != "as it is":
        for name in ("O_NOFOLLOW", "O_NONBLOCK"):
            monkeypatch.delattr(os, name, raising=False)


def test_a_regular_file_is_opened(tmp_path, flags):
    (tmp_path / "file").write_bytes(b"x\r\n")
    with open(tmp_path / "file", "rb", opener=machine.regular_file_opener) as file:
        assert file.read() == b"x\r\n"


def test_a_folder_is_refused(tmp_path, flags):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        machine.regular_file_opener(str(tmp_path / "folder"), os.O_RDONLY)


def test_a_pipe_is_refused_without_waiting(tmp_path):
    make_pipe(tmp_path / "pipe")
    with pytest.raises(OSError, match="is no regular file"):
        machine.regular_file_opener(str(tmp_path / "pipe"), os.O_RDONLY)


@pytest.mark.parametrize("links", [True, False])
def test_a_link_or_a_copy(tmp_path, monkeypatch, links):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("x")
    if not links:

        def refuse(*args, **options):
            raise OSError("A required privilege is not held by the client")

        monkeypatch.setattr(os, "symlink", refuse)
    machine.link_or_copy(tmp_path / "folder", tmp_path / "other")
    machine.link_or_copy(tmp_path / "folder" / "file", tmp_path / "file")
    assert (tmp_path / "other" / "file").read_text() == (tmp_path / "file").read_text() == "x"
    assert (tmp_path / "other").is_symlink() == (tmp_path / "file").is_symlink() == links


def test_a_broken_pipe_is_standard_output_where_nothing_more_is_known(monkeypatch):
    monkeypatch.delattr(select, "poll", raising=False)
    assert streams.is_closed_by_reader()
