"""Messages of a study whose files were damaged, removed or moved. Its trials train nothing."""

import json
import math
import shutil
from pathlib import Path

import pytest
from portable import make_pipe
from untrained import SPACE, comparable, quiet, study

from bnzoo import tuning
from bnzoo.export import parity, runtimes
from bnzoo.tuning.definition import command
from bnzoo.tuning.shared import SharedStudy

TWO = {**SPACE, "norms": (None,)}
DEEP = "[" * 50_000

pytestmark = pytest.mark.usefixtures("training_left_out", "verified_here")


def two(data, folder, **options):
    """Return a study of two trials."""
    return study(data, folder, tuning.MLPSpace(**TWO), seeds=1, **options)


@pytest.fixture(scope="module")
def original(training_left_out, few_digits, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parity, "run_artefact", runtimes.run_artefact)
        found = two(few_digits, tmp_path_factory.mktemp("original") / "study")
        found.run(quiet)
        found.export()
    return found


@pytest.fixture
def folder(original, tmp_path):
    """A finished and exported study that the test may damage."""
    return Path(shutil.copytree(original.directory, tmp_path / "study"))


def edit(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def run_and_export(data, folder):
    found = two(data, folder)
    found.run(quiet)
    return found.export()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"op_co\n', "line 2"),
        (b"\n", "line 2"),
        (b"\xff\xfe\x00\n", "line 2"),
        (DEEP.encode() + b"\n", "line 2: it is nested too deeply"),
        (b"[]\n", "line 2: it must be an object"),
        (b'{"op_code": 99, "worker_id": "x"}\n', "line 2: there is no operation 99"),
        (b'{"op_code": 5, "worker_id": "x"}\n', "line 2: 'trial_id' is missing"),
        (b'{"op_code": 0, "worker_id": "x", "study_name": 3, "directions": []}\n', "'study_name' is missing, or"),
        (b'{"op_code": 4, "worker_id": "x", "study_id": 0, "datetime_start": "never"}\n', "line 2"),
    ],
)
def test_a_damaged_line_of_the_journal_is_named(few_digits, folder, line, reason):
    journal = folder / "journal.log"
    first, *others = journal.read_bytes().splitlines(True)
    journal.write_bytes(b"".join([first, line, *others]))
    with pytest.raises(ValueError, match=rf"journal\.log cannot be read as the journal of a study: .*{reason}"):
        two(few_digits, folder)


def test_nothing_is_written_after_a_damaged_line(few_digits, folder):
    with (folder / "journal.log").open("ab") as file:
        file.write(b'{"op_co\n')
    before = (folder / "journal.log").read_bytes()
    shared = SharedStudy(None, folder, None)
    with pytest.raises(ValueError, match=rf"journal\.log .* line {before.count(10)}: "):
        shared.set_attribute("key", "value")
    assert (folder / "journal.log").read_bytes() == before


def test_results_of_another_trial_are_noticed(few_digits, folder):
    """If the journal created a trial twice, all later trials would have other numbers."""
    journal = folder / "journal.log"
    lines = journal.read_text().splitlines(True)
    noted = [line for line in lines if "bnzoo:result" in line]
    changed = json.loads(noted[0])
    changed["system_attr"]["bnzoo:result"]["values"]["learning_rate"] = 0.5
    journal.write_text("".join(lines).replace(noted[0], json.dumps(changed) + "\n"))
    with pytest.raises(ValueError, match=r"journal\.log .* the result of trial 0: it belongs to another trial"):
        two(few_digits, folder)


@pytest.mark.parametrize("values", [None, [], {"trial": 0}, {"outcome": "best"}, {"history": {"loss": ["a"]}}])
def test_results_of_trials_are_checked(values):
    good = tuning.TrialResult(0, {"depth": 1, "norm": "none", "learning_rate": 0.1}, 0, "ok", "", 0.5).to_dict()
    assert tuning.TrialResult.from_dict(good).score == 0.5
    with pytest.raises(ValueError, match=r"must be|missing or unknown fields|wrong type"):
        tuning.TrialResult.from_dict({**good, **values} if values and "trial" not in values else values)


@pytest.mark.parametrize("name", ["study.json", "results.json", "export.json"])
@pytest.mark.parametrize("text", ["", "{bad", "3", '{"trials": 3, "seeds": "x"}', DEEP], ids=lambda text: text[:8])
def test_damaged_json_is_named(few_digits, folder, name, text):
    (folder / name).write_text(text)
    hint = "(or remove it: the study|Remove it, then run)"
    with pytest.raises(ValueError, match=rf"{folder / name} cannot be read as the .*: .*{hint}"):
        run_and_export(few_digits, folder)


def test_a_definition_without_data_is_named(few_digits, folder):
    edit(folder / "study.json", lambda document: document.update(data={}))
    with pytest.raises(ValueError, match=r"study\.json cannot be read as .*: its field 'data' must have"):
        two(few_digits, folder)


@pytest.mark.parametrize("name", ["journal.log", "study.json", "results.json", "export.json"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(few_digits, folder, name):
    (folder / name).unlink()
    make_pipe(folder / name)
    with pytest.raises(ValueError, match=r"is a pipe\. It must be a regular file"):
        run_and_export(few_digits, folder)


def test_a_study_without_its_definition_goes_on_with_its_journal(original, few_digits, folder):
    (folder / "study.json").unlink()
    again = two(few_digits, folder)
    assert comparable(again.results) == comparable(original.results)
    again.run(lambda study, event: pytest.fail("a trial was run"))
    assert (folder / "study.json").read_text() == (original.directory / "study.json").read_text()
    (folder / "study.json").unlink()
    with pytest.raises(ValueError, match="epochs: 2 stored, 3 requested"):
        two(few_digits, folder, epochs=3)
    with pytest.raises(ValueError, match=r"journal\.log has no study 'other'"):
        two(few_digits, folder, name="other")


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_study_that_lost_its_trials_does_not_start_afresh(few_digits, folder, damage):
    damage(folder / "journal.log")
    with pytest.raises(ValueError, match=r"results\.json has 2 trials, and .* only 0 in .*journal\.log"):
        two(few_digits, folder)


def test_a_renamed_folder_is_the_same_study(original, few_digits, folder):
    moved = folder.rename(folder.with_name("moved"))
    artefact = run_and_export(few_digits, moved)
    assert artefact.path == str(moved / "best/1")
    edit(moved / "study.json", lambda document: document.pop("name"))  # as older studies have it
    again = two(few_digits, moved)
    assert again.name == original.name == "study"
    assert comparable(again.results) == comparable(original.results)
    with pytest.raises(ValueError, match=r"name: study stored, other requested"):
        two(few_digits, original.directory, name="other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda note: note.update(path="/etc"), "'path' must be a version in"),
        (lambda note: note.pop("difference"), "'difference' is missing"),
        (lambda note: note.update(test_accuracy="1"), "'test_accuracy' is missing or has the wrong type"),
        (lambda note: note.update(metric="\x1b[2J"), "'metric' must be one of"),
        (lambda note: note["measures"].update(test={}), "'measures' is wrong"),
        (lambda note: note.update(more=1), "must be an object with the fields"),
    ],
)
def test_the_description_of_an_artefact_is_checked(few_digits, folder, change, message):
    edit(folder / "export.json", change)
    with pytest.raises(
        ValueError, match=rf"export\.json cannot be read as the description of an artefact: .*{message}"
    ):
        run_and_export(few_digits, folder)


def test_the_description_of_an_earlier_version_has_no_measures(few_digits, folder):
    edit(folder / "export.json", lambda note: note.pop("measures"))
    artefact = run_and_export(few_digits, folder)
    assert artefact.measures.rows() == []
    assert artefact.finding == f"accuracy {artefact.test_accuracy:.2%}"


def test_the_metric_of_an_artefact_may_be_undefined(few_digits, folder):
    """R2 is not a number if all targets are equal."""
    edit(folder / "export.json", lambda note: note.update(test_accuracy="nan"))
    assert math.isnan(run_and_export(few_digits, folder).test_accuracy)


def test_no_path_in_the_note_is_believed(few_digits, folder):
    edit(folder / "export.json", lambda note: note.update(path="/somewhere/else/1", encoder="/etc/passwd"))
    artefact = run_and_export(few_digits, folder)
    assert (artefact.path, artefact.encoder) == (str(folder / "best/1"), str(folder / "best/encoder.json"))


def test_a_damaged_artefact_is_not_reported_as_good(few_digits, folder):
    (data,) = (folder / "best/1/variables").glob("*.data*")
    data.write_bytes(b"x")
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"best/1 is damaged: .* Remove the folder, then run the same study"):
            run_and_export(few_digits, folder)
    shutil.rmtree(folder / "best/1")
    assert run_and_export(few_digits, folder).path == str(folder / "best/1")
    assert data.stat().st_size > 1


def test_the_best_model_is_written_again_or_told_to_be_damaged(few_digits, folder):
    path = folder / "best.keras"
    content = path.read_bytes()
    path.unlink()
    run_and_export(few_digits, folder)
    assert path.read_bytes() == content
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    with pytest.raises(ValueError, match=r"best\.keras cannot be read as a Keras model: .*Remove it, then run"):
        run_and_export(few_digits, folder)


def test_one_process_at_a_time_exports(original, few_digits, folder, monkeypatch):
    """The exporting process holds the lock that the others wait for."""
    import filelock

    from bnzoo.training import artefact as module

    def export_model(model, trial, data, path):
        with pytest.raises(filelock.Timeout):
            filelock.FileLock(folder / ".finish.lock").acquire(timeout=0)
        return original.export()

    (folder / "export.json").unlink()
    monkeypatch.setattr(module, "export_model", export_model)
    assert two(few_digits, folder).export() == original.export()


@pytest.mark.parametrize(
    "arguments", [["--storage", "postgresql://me:secret@host/x"], ["--storage=x://:secret@h"], ["--password", "secret"]]
)
def test_the_command_to_repeat_is_quoted_and_has_no_password(monkeypatch, few_digits, folder, arguments):
    monkeypatch.setattr("sys.argv", ["/bin/bnzoo", "tune", "--data", "my data.csv", *arguments])
    assert command().startswith("bnzoo tune --data 'my data.csv' ")
    assert "PGPASSWORD" in command()
    (folder / "results.json").unlink()
    found = two(few_digits, folder)
    found.run(quiet)
    found.results.save(folder, command())
    for path in (path for path in folder.rglob("*") if path.is_file()):
        assert b"secret" not in path.read_bytes(), path
