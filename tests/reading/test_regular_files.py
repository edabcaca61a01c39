import json
import os

import pytest
from portable import make_pipe, make_socket

from bnzoo.reading import RefusedError, declared, read_json, reading, regular_file


@pytest.mark.parametrize(("make", "kind"), [(make_pipe, "pipe"), (make_socket, "socket"), (os.mkdir, "folder")])
def test_only_a_regular_file_is_opened(make, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    make("f")
    with pytest.raises(ValueError, match=f"f is a {kind}. It must be a regular file"):
        regular_file("f")
    os.symlink("f", "link")
    with pytest.raises(ValueError, match=f"link is a {kind}"):
        regular_file("link")


def test_names_that_no_file_has(tmp_path):
    with pytest.raises(ValueError, match="device"):
        regular_file("/dev/zero")
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file" / "below"):
        with pytest.raises(FileNotFoundError, match="There is no file"):
            regular_file(path)
    with pytest.raises(ValueError, match="cannot be the name of a file"):
        regular_file("a\0b")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AttributeError("no attribute 'x'"), "no attribute 'x'"),
        (KeyError("layers"), "it has no 'layers'"),
        (RecursionError("maximum"), "it is nested too deeply"),
        (MemoryError(), "there is not enough memory"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (OSError("two\nlines."), "two lines"),
    ],
)
def test_errors_of_libraries_name_the_file(error, reason, tmp_path):
    (tmp_path / "f").touch()
    with pytest.raises(ValueError, match=f"f cannot be read as a table: {reason}$"), reading(tmp_path / "f", "a table"):
        raise error


@pytest.mark.parametrize("error", [ImportError("pandas"), PermissionError(13, "Permission denied"), KeyboardInterrupt])
def test_what_is_no_fault_of_the_file_passes(error, tmp_path):
    (tmp_path / "f").touch()
    with pytest.raises(error if isinstance(error, type) else type(error)), reading(tmp_path / "f", "a table"):
        raise error


def test_a_small_file_may_grow_to_half_a_gigabyte_a_large_one_a_hundredfold(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(bytes(1000))
    declared(path, 512 * 2**20)
    with pytest.raises(RefusedError, match=r"1,000 bytes take 536,870,913 bytes .*`max_bytes=536870913`"):
        declared(path, 512 * 2**20 + 1)
    declared(path, 2**40, max_bytes=2**40)
    with pytest.raises(RefusedError, match="At most 10 are"):
        declared(path, 11, max_bytes=10)
    with path.open("wb") as file:
        file.truncate(2**30)
    declared(path, 100 * 2**30)
    with pytest.raises(RefusedError):
        declared(path, 100 * 2**30 + 1)


@pytest.mark.parametrize("text", ["{", "[" * 100_000, '"\ud800"', "\xff"])
def test_what_is_no_json(text, tmp_path):
    path = tmp_path / "f.json"
    path.write_bytes(text.encode("utf-16" if text == "\xff" else "utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=r"f\.json cannot be read as a manifest: "):
        read_json(path, "a manifest")
    path.write_text(json.dumps({"a": [1]}))
    assert read_json(path, "a manifest") == {"a": [1]}
