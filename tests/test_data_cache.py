import os
import subprocess
import sys
import time

import numpy as np
import pytest

from bnzoo.data import cache, store

LONG_AGO = time.time() - 31 * 24 * 3600


def write(name):
    """Write a file into the cache, as another process has done a month ago."""
    path = cache.folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path.with_suffix(".npy"), np.arange(3))
    path.with_suffix(".npy").rename(path)
    os.utime(path, (LONG_AGO, LONG_AGO))
    return path


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))


def fill():
    return store.filled((2,), np.dtype(np.uint8), lambda array: array.fill(7), 0, "new")


def test_files_that_were_not_used_for_30_days_are_removed_when_a_new_one_is_written():
    old, other, used = write("old.npy"), write("other.bin"), write("used.npy")
    recent = write("recent.npy")
    os.utime(recent)
    (cache.folder() / "renamed.bin").symlink_to("nowhere")
    kept = cache.folder() / "notes.txt"
    kept.write_text("not of the cache")
    os.utime(kept, (LONG_AGO, LONG_AGO))
    assert store.find("used").tolist() == [0, 1, 2]
    with pytest.warns(UserWarning, match=r"2 files of .*bnzoo, 304 bytes, not used for 30 days, were removed"):
        assert fill().tolist() == [7, 7]
    assert [path.exists() for path in (old, other, used, recent, kept)] == [False, False, True, True, True]
    assert used.stat().st_mtime > LONG_AGO + 1, "the use of a file is noted"


def test_in_a_folder_that_cannot_exist_nothing_is_found(monkeypatch):
    monkeypatch.setenv("KERAS_HOME", "x" * 300)
    assert store.find("any") is None


@pytest.mark.slow
def test_a_file_is_not_removed_while_another_process_uses_it():
    path = write("mapped.npy")
    script = "import sys; from bnzoo.data import store; x = store.find('mapped'); print(x.sum(), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"3\n"
        os.utime(path, (LONG_AGO, LONG_AGO))  # it has used the file for a month
        fill()
        assert path.exists()
        process.communicate(b"\n")
    with pytest.warns(UserWarning, match="1 file of .* was removed"):
        fill()
    assert not path.exists()


def test_a_damaged_file_of_the_cache_is_written_again():
    path = write("new.npy")
    path.write_bytes(path.read_bytes()[:-1])
    assert store.find("new") is None
    assert fill().tolist() == [7, 7]
    assert store.find("new").tolist() == [7, 7]
