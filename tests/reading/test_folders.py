import os

from portable import make_pipe

from bnzoo.reading import entries


def test_everything_below_a_folder_is_found_and_no_link_followed(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    make_pipe(tmp_path / "pipe")
    found = {entry.name: entry.kind for entry in entries(tmp_path)}
    assert found == {"a/b/file": "file", "a/up": "symbolic link", "pipe": "pipe"}
    assert all(entry.path == tmp_path / entry.name for entry in entries(tmp_path))


def test_folders_may_be_nested_more_deeply_than_pythons_stack(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    open("file", "w").close()
    [entry] = entries(tmp_path)
    assert entry.name == "d/" * 1200 + "file"
    os.remove("file")  # otherwise pytest's cleanup of the folder would recurse into it
    for _ in range(1200):
        os.chdir("..")
        os.rmdir("d")


def test_a_folder_that_cannot_be_read_is_found_with_the_reason(tmp_path):
    [entry] = entries(tmp_path / "nowhere")
    assert (entry.kind, entry.error) == ("folder", "No such file or directory")
