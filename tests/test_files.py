import pytest

from bnzoo.files import whole_file, whole_folder, write_text


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


def test_a_folder_is_whole_or_not_there(tmp_path):
    path = tmp_path / "best" / "1"
    with pytest.raises(FullError), whole_folder(path) as draft:
        (draft / "part").write_text("x")
        raise FullError
    assert list(path.parent.iterdir()) == []
    with whole_folder(path) as draft:
        (draft / "all").write_text("x")
    assert [p.name for p in path.iterdir()] == ["all"]
    with pytest.raises(FileExistsError), whole_folder(path):
        pass
    assert [p.name for p in path.iterdir()] == ["all"]
