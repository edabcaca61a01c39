import pytest

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
    with pytest.raises(FileExistsError, match="1 exists already and is not overwritten"), whole_version(path):
        pass
    assert [p.name for p in path.iterdir()] == ["all"]


def test_the_next_version_is_the_one_after_the_highest(tmp_path):
    for taken in ("2", "10", "name", ".hidden"):
        (tmp_path / taken).mkdir()
    (tmp_path / "7").write_text("a file")
    made = []
    for _ in range(2):
        with whole_version(tmp_path) as version:
            (version.draft / "file").write_text("x")
        made.append(version.path)
    assert made == [tmp_path / "11", tmp_path / "12"]
    assert all(path.stat().st_mode & 0o777 == 0o755 for path in made), "a server of another user must read it"


def test_a_version_that_someone_else_made_meanwhile_is_kept(tmp_path):
    with whole_version(tmp_path) as version:
        (version.draft / "mine").write_text("x")
        (tmp_path / "1").mkdir()
    assert version.path == tmp_path / "2"
    with pytest.raises(FileExistsError, match="meanwhile"), whole_version(tmp_path / "3"):
        (tmp_path / "3").mkdir()
        (tmp_path / "3" / "theirs").write_text("x")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "3"]
    assert [p.name for p in (tmp_path / "3").iterdir()] == ["theirs"]


def test_versions_cannot_be_in_a_file(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "1"):
        with pytest.raises(NotADirectoryError, match="file is a file, and a folder is needed"), whole_version(path):
            pass
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
