import errno
import os
import subprocess
import sys

import pytest
from portable import ON_POSIX

from bnzoo import files
from bnzoo.files import whole_file, whole_version, write_text


class FullError(Exception):
    pass


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = tmp_path / "results.csv"
    write_text(path, "old")
    with pytest.raises(FullError), whole_file(path) as draft:
        draft.write_text("ne")
        raise FullError
    assert path.read_text() == "old"
    with whole_file(path) as draft:
        assert draft.suffix == ".csv"
        draft.write_text("new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]


def test_the_error_of_a_full_disk_names_the_file(tmp_path):
    path = tmp_path / "results.csv"
    with pytest.raises(OSError, match="No space left") as caught, whole_file(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["folder", pytest.param("pipe", marks=ON_POSIX)])
def test_only_files_are_replaced(tmp_path, kind):
    path = tmp_path / "results.csv"
    path.mkdir() if kind == "folder" else os.mkfifo(path)
    with pytest.raises(FileExistsError, match=r"results\.csv is no file, and is not overwritten"):
        write_text(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["results.csv"]
    assert not path.is_file()


def test_a_version_is_whole_or_not_there(tmp_path):
    path = tmp_path / "best" / "1"
    with pytest.raises(FullError), whole_version(path) as version:
        (version.draft / "part").write_text("x")
        raise FullError
    assert list(tmp_path.iterdir()) == [], "nor the folder that was made for it"
    with whole_version(path) as version:
        (version.draft / "all").write_text("x")
        assert not path.exists()
    assert version.path == path
    assert [p.name for p in path.iterdir()] == ["all"]
    with pytest.raises(FileExistsError, match="1 exists and is not overwritten"), whole_version(path):
        pass
    assert [p.name for p in path.iterdir()] == ["all"]


def test_the_next_version_is_the_one_after_the_highest(tmp_path):
    for taken in ("2", "10", "name", ".hidden"):
        (tmp_path / taken).mkdir()
        (tmp_path / taken / "file").write_text("x")
    (tmp_path / "7").write_text("a file")
    made = []
    for _ in range(2):
        with whole_version(tmp_path) as version:
            (version.draft / "file").write_text("x")
        made.append(version.path)
    assert made == [tmp_path / "11", tmp_path / "12"]
    if os.name == "posix":
        assert all(path.stat().st_mode & 0o777 == 0o755 for path in made), "a server of another user must read it"


def test_a_version_that_someone_else_made_meanwhile_is_kept(tmp_path):
    with whole_version(tmp_path) as version:
        (version.draft / "mine").write_text("x")
        (tmp_path / "1").mkdir()
        (tmp_path / "1" / "theirs").write_text("x")
    assert version.path == tmp_path / "2"
    with pytest.raises(FileExistsError, match="meanwhile"), whole_version(tmp_path / "3"):
        (tmp_path / "3").mkdir()
        (tmp_path / "3" / "theirs").write_text("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "3"]
    assert [p.name for p in (tmp_path / "3").iterdir()] == ["theirs"]


@pytest.mark.parametrize("given", ["", "2"], ids=["the next", "a given one"])
def test_an_empty_folder_is_no_version(tmp_path, given):
    """A killed process or a server can leave an empty folder."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "file").write_text("x")
    (tmp_path / "2").mkdir()
    with whole_version(tmp_path / given) as version:
        (version.draft / "file").write_text("x")
    assert version.path == tmp_path / "2"
    assert [p.name for p in version.path.iterdir()] == ["file"]


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_not_overwritten_by_a_version(tmp_path, kind):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileExistsError, match="is not overwritten"), whole_version(tmp_path / "1") as version:
        (version.draft / "file").write_text("x")
        if kind == "file":
            (tmp_path / "1").write_text("theirs")
        else:
            (tmp_path / "1").symlink_to(tmp_path / "empty")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "empty"]


KILLED = """
import os, runpy, signal, sys

files = runpy.run_path(sys.argv[3])  # without the package, whose import takes seconds
with files["whole_version"](sys.argv[1]) as version, files["whole_file"](sys.argv[2]) as draft:
    (version.draft / "part").write_text("x")
    draft.write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@ON_POSIX
def test_drafts_of_killed_processes_are_removed_and_those_of_living_ones_kept(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED, tmp_path, tmp_path / "file", files.__file__], check=False)
    assert len(list(tmp_path.glob(".draft-*"))) == 2
    (tmp_path / ".draft-of-a-letter").mkdir()
    with whole_version(tmp_path) as living:
        (living.draft / "file").write_text("x")
        write_text(tmp_path / "other", "x")
        assert (living.draft / "file").exists()
        assert len(list(tmp_path.glob(".draft-*"))) == 2, "the living and what is no draft of ours"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".draft-of-a-letter", "1", "other"]


def test_what_is_needed_meanwhile_lies_beside_the_draft(tmp_path):
    with whole_version(tmp_path) as version:
        with files.scratch(version.draft) as beside:
            assert beside.parent == version.draft.parent
        assert not beside.exists()
        (version.draft / "file").write_text("x")
    with files.scratch(version.path) as elsewhere:
        assert not elsewhere.is_relative_to(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["1"]


def test_versions_cannot_be_in_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "1"):
        with pytest.raises(NotADirectoryError, match=r"file is a file\. It must be a folder"), whole_version(path):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
