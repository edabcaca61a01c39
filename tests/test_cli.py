import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from planted import planted
from portable import ON_LINUX, ON_POSIX
from rich.console import Console
from rich.table import Table

from bnzoo import cli, data, machine
from bnzoo.cli.tables import print_rates, print_table
from bnzoo.models import FAMILIES

SMALL = ["mlp", "--depths", "1,2", "--learning-rates", "0.01:1:2", "--epochs", "3", "--batch-size", "32"]
BNZOO = Path(sys.executable).with_name("bnzoo")


@pytest.fixture
def bnzoo(monkeypatch, capfd, tmp_path):
    """A function that runs a command in this process, in an empty folder, and returns status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bnzoo", *map(str, arguments)])
        start = time.monotonic()
        monkeypatch.setattr("bnzoo.cli.clock.process_seconds", lambda: time.monotonic() - start)
        with pytest.raises(SystemExit) as exit_:
            cli.main()
        out, err = capfd.readouterr()
        return exit_.value.code, out, err

    return run


@pytest.mark.slow
def test_the_main_job(bnzoo, tmp_path):
    status, out, err = bnzoo("tune", *SMALL, "--data", "wine")
    assert status == 0, err
    folder = tmp_path / "runs" / "mlp-wine"
    produced = {path.name for path in folder.iterdir()}
    assert produced >= {"results.csv", "results.json", "report.html", "heatmap.png", "best.keras", "best"}
    assert "largest usable" in out
    assert "Best: depth" in out
    assert "8/8" in err
    assert "final training: depth " in err
    assert len(pd.read_csv(folder / "results.csv")) == 8

    line = next(line for line in out.splitlines() if line.startswith("Test accuracy"))
    from bnzoo import data

    wine = data.load("wine")
    serve = tf.saved_model.load(folder / "best/1").signatures["serve"]
    logits = serve(features=tf.constant(wine.test.x))["logits"].numpy()
    assert f"{(logits.argmax(-1) == wine.test.y).mean():.2%} (95 % interval " in line
    assert f" on {len(wine.test.y)} examples" in line
    assert "macro-F1" in out
    assert "always guessing the most frequent class: " in out
    assert "Confusion matrix" in (folder / "report.html").read_text()
    assert (folder / "best/1/assets/labels.txt").read_text().split() == list(wine.labels)

    status, again, err = bnzoo("tune", *SMALL, "--data", "wine")
    results = out.partition("\n")[2]  # after the line with the times of the networks
    assert (status, again, err) == (0, results, ""), "the second time it prints the same at once"

    status, _, err = bnzoo("tune", *SMALL, "--data", "wine", "--seeds", "2")
    assert status == 2
    assert "seeds: 1 stored, 2 requested" in err


@pytest.mark.slow
def test_a_table_a_sampler_and_a_bound(bnzoo, tmp_path):
    """The test is a regression with sampler, pruner, budget and HParams, on a CSV file with text and missing values."""
    random = np.random.default_rng(0)
    rooms, town = random.integers(1, 9, 200), random.choice(["York", "Bath"], 200)
    price = 10.5 * rooms + 30 * (town == "Bath") + random.normal(size=200)
    table = pd.DataFrame({"rooms": rooms.astype(float), "town": town, "price": price})
    table.loc[::9, "rooms"] = np.nan
    table.to_csv(tmp_path / "houses.csv", index=False)
    arguments = ["tune", "mlp", "--data", "houses.csv", "--target", "price", "--depths", "1", "--batch-size", "16,32"]
    arguments += ["--option", "width=8,16", "--epochs", "4", "--sampler", "tpe", "--pruner", "median", "--trials", "6"]
    arguments += ["--enqueue", "norm=none,learning_rate=0.05", "--tensorboard", "hparams"]
    status, out, err = bnzoo(*arguments)
    assert status == 0, err
    folder = tmp_path / "runs/mlp-houses"
    trials = pd.read_csv(folder / "results.csv")
    assert len(trials) == 6
    assert {"depth", "norm", "learning_rate", "width", "batch_size", "r2"} <= set(trials)
    assert (trials["norm"][0], trials["learning_rate"][0]) == ("none", 0.05)
    assert "Test R" in out
    assert list((tmp_path / "hparams").rglob("events.out.tfevents.*"))
    assert bnzoo(*arguments)[0] == 0, "the same again"
    assert [version.name for version in (folder / "best").iterdir()] == ["1"]
    table.replace("York", "york").to_csv(tmp_path / "houses.csv", index=False)
    assert bnzoo(*arguments)[0] == 0, "the same features, encoded from another word"
    assert '"york"' in (folder / "best/2/encoder.json").read_text()
    status, out, err = bnzoo("export", folder / "best.keras", "served", "--data", "houses.csv", "--target", "price")
    assert status == 0, err
    assert "R²" in out.splitlines()[-3]


@pytest.mark.slow
def test_a_confirmation_decides_which_one_is_the_best(bnzoo, tmp_path):
    arguments = ["tune", *SMALL, "--data", "wine", "--confirm", "2", "--no-final", "--output", "study"]
    status, out, err = bnzoo(*arguments)
    assert status == 0, err
    assert "The best configurations with new seeds:" in out
    assert "8 trials" in out, "those of the search"
    assert " in the search, confirmed " in out
    document = json.loads((tmp_path / "study/results.json").read_text())
    assert len(document["confirmation"]["trials"]) == 6
    exported = json.loads((tmp_path / "study/export.json").read_text())
    assert exported["trial"] == document["best"] >= 1_000_000
    status, again, err = bnzoo(*arguments)
    assert (status, again, err) == (0, out.partition("\n")[2], ""), "nothing is trained again"
    (tmp_path / "study/best/1/saved_model.pb").unlink()
    status, _, err = bnzoo(*arguments)
    assert (status, err.count("\n")) == (2, 1)
    assert err.startswith("bnzoo: study/best/1 is damaged: study/best/1/saved_model.pb is missing. Remove the folder")


@pytest.mark.slow
def test_what_is_left_out_is_told_and_done_later(bnzoo, tmp_path, monkeypatch):
    monkeypatch.setattr("bnzoo.reports.write_report", lambda *arguments: None)  # which other tests look at
    status, out, _ = bnzoo("tune", *SMALL, "--data", "wine", "--trials", "3")
    assert status == 0
    assert "3 trials" in out
    assert "5 of 8 trials were not tried" in out
    status, out, _ = bnzoo("tune", *SMALL, "--data", "wine")
    assert status == 0
    assert "not tried" not in out
    assert "8 trials" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tun"], "No such command 'tun'. Did you mean 'tune'?"),
        (["tune", "resnt"], "Unknown family: 'resnt'. Did you mean 'resnet'? Known: resnet, densenet, vit, mlp"),
        (["tune", "--dpeths", "8"], "No such option: --dpeths"),
        (["tune", "--depths", "8,x"], "--depths must be whole numbers separated by commas"),
        (["tune", "--depths", "9"], "6n+2"),
        (["tune", "--learning-rates", "fast"], "--learning-rates must be two positive numbers"),
        (["tune", "--learning-rates", "1e-3"], "two positive numbers"),
        (["tune", "--data", "wine", "--budget", "0.001"], "--budget 0.001s is too short: the start and reading"),
        (["tune", "--budget", "10x"], "--budget must be a time such as 90s, 10m or 2h. Received: '10x'"),
        (["tune", "--sampler", "tpe"], "Pass `budget`, `trials` or both"),
        (["tune", "--sampler", "law", "--depths", "8"], "needs at least two values of `depth`"),
        (["tune", "--sampler", "tp", "--trials", "3"], "Unknown `sampler`: 'tp'. Did you mean 'tpe'"),
        (["tune", "--objective", "macro-f1"], "Unknown `objective`: 'macro-f1'. Did you mean 'macro_f1'?"),
        (["tune", "--class-weight", "even"], "Unknown `class_weight`: 'even'"),
        (["tune", "--pruner", "halving"], "Unknown `pruner`: 'halving'"),
        (["tune", "--confirm", "0"], "`confirm` must be a positive integer"),
        (["tune", "--confirm", "-1"], "`confirm` must be a positive integer"),
        (["tune", "--confirm", "43"], "`confirm` must be at most the number of configurations, 42. Received"),
        (["tune", "--workers", "0"], "`workers` must be a positive integer"),
        (["tune", "--enqueue", "depth:8"], "--enqueue must be NAME=VALUE. Received: 'depth:8'"),
        (["tune", "--enqueue", "depth=9"], "depth must be one of 8, 14, 20"),
        (["tune", "--option", "filtres=8"], "Did you mean 'filters'"),
        (["tune", "--optimizer", "sgd,moon"], "Unknown `optimizer`: 'moon'. Did you mean 'muon'?"),
        (["tune", "--momentum", "high"], "--momentum must be numbers: 0.8,0.9. Received: 'high'"),
        (["tune", "--warmup", "0.1"], "`warmup` needs a schedule with a warm-up"),
        (["tune", "--option", "warmup=0.1"], "--option warmup is not allowed. Use --warmup"),
        (["tune", "--enqueue", "optimizer=adamw"], "`enqueue`"),
        (["tune", "--batch-size", "1"], "`batch_size` must be at least 2"),
        (["tune", "--target", "price"], "target"),
        (["tune", "--storage", "nonsense"], "must be an SQLAlchemy URL"),
        (["tune", "--storage", "postgresql://me:secret@127.0.0.1:1/x"], "cannot be used"),
        (["tune", "--storage", "postgresql://me:secret@host:port/x"], "cannot be used"),
        (["tune", "--storage", "postgresql//me:secret@host"], "must be an SQLAlchemy URL"),
        (["tune", "--learning-rates", "3:1e-3:7"], "two positive numbers"),
        (["tune", "--learning-rates", "-1:3:7"], "two positive numbers"),
        (["tune", "--norms", "batch,bach"], "Unknown norm: 'bach'. Did you mean 'batch'?"),
        (["tune", "--branch-scale", "1/L"], "`branch_scale` must be '1/sqrt(depth)', '1/depth', a number above 0"),
        (["tune", "mlp", "--branch-scale", "1/depth"], "are for residual=True"),
        (["tune", "--option", "branch_scale=1"], "Use --branch-scale"),
        (["tune", "--placement", "prae"], "Unknown placement for resnet: 'prae'"),
        (["tune", "--seeds", "0"], "`seeds` must be a positive integer"),
        (["tune", "--epochs", "many"], "--epochs"),
        (["tune", "--data", "digts"], "Unknown data set: 'digts'. Did you mean 'digits'?"),
        (["tune", "--data", "nowhere/scans.npz"], "a file or folder of this name does not exist"),
        (["tune", "--data", "empty"], "no subfolders"),
        (["tune", "--data", "wine"], "ResNetSpace needs images"),
        (["tune", "mlp", "--norms", "instance"], "one value per group"),
        (["tune", "--data", "bad.npz"], "no array named y"),
        (["tune", "--output", "file/study"], "Not a directory"),
        pytest.param(["tune", "--output", "/proc/study"], "No such file or directory: /proc/study", marks=ON_LINUX),
        (["models", "vgg"], "No model matches 'vgg'"),
        (["tune", "--depths", "1000000000"], "`depths` must be at most 2,000"),
        (["tune", "--seeds", "9999999"], "`seeds` must be a positive integer, at most 1,000"),
        (["tune", "--epochs", "99999999"], "`epochs` must be a positive integer, at most 1,000,000"),
        (["tune", "--workers", "99999"], "`workers` must be a positive integer, at most 256"),
        (["tune", "--trials", "0"], "`trials` must be a positive integer"),
        (["tune", "--trials", "9999999"], "`trials` must be a positive integer, at most 100,000"),
        (["tune", "--batch-size", "9999999"], "`batch_size` must be a positive integer, at most 1,000,000"),
        (["tune", "--learning-rates", "1e-3:3:999999999"], "at most 1,000"),
        (["tune", "--learning-rates", "0.1:1:999", "--seeds", "999"], "at most 100,000 are allowed"),
        (["tune", "--latency", "tflite"], "Unknown `format`: 'tflite'"),
        (["tune", "--equal", "compute", "--budget", "9m"], "cannot be combined with the plan of a budget"),
        (["tune", "--image-size", "60000"], "is not in the range from 1 to 8192"),
        (["tune", "--option", "filters=9999999"], "`filters` must be a number, at most 1,000,000"),
        (["tune", "--option", "filters=2000"], "parameters. At most 500,000,000 are allowed"),
        (["tune", "--option", "input_shape=3"], "--option input_shape is not allowed, as it follows from the data"),
        (["tune", "--option", "norms=batch"], "--option norms is not allowed. Use --norms"),
        (["tune", "--option", "include_top=false"], "`include_top` cannot be an option"),
        (["tune", "--option", "filters=8", "--option", "filters=16"], "--option filters occurs twice"),
        (["tune", "resnet", "postgresql://me:secret@host/x"], "Got unexpected extra argument(s) (postgresql://me:***@"),
        (["tune", "--data", "\x1b[2J"], r"\x1b[2J"),
    ],
)
def test_mistakes_are_one_line_and_status_2(bnzoo, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    np.savez(tmp_path / "bad.npz", x=np.ones((3, 2)))
    before = sorted(tmp_path.rglob("*"))
    status, out, err = bnzoo(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("bnzoo: ")
    assert err.count("\n") == 1
    assert "secret" not in err
    assert sorted(tmp_path.rglob("*")) == before, "nothing was written"


def test_the_options_of_a_csv_file(bnzoo, tmp_path):
    words = [f"\u00fc{i}" for i in range(99)]
    frame = pd.DataFrame({"area": np.arange(99) / 8, "id": words, "empty": None, "price": 1.0})
    frame.to_csv(tmp_path / "houses.csv", sep="\t", encoding="latin-1", index=False)
    arguments = ["tune", "mlp", "--data", "houses.csv", "--target", "price"]
    status, _, err = bnzoo(*arguments)
    found, problems = err.splitlines()
    assert found == "bnzoo: warning: houses.csv is read with separator tab, encoding Windows-1252 (Latin-1)."
    assert status == 2
    for part in (
        "has 3 problems: (1) the target 'price' is 1 in every",
        "(2) column 'id'",
        "(3) column 'empty' has no value",
    ):
        assert part in problems
    arguments += ["--drop", "id", "--drop", "empty", "--separator", r"\t", "--encoding", "latin-1"]
    status, _, err = bnzoo(*arguments)
    assert status == 2
    assert err.startswith("bnzoo: houses.csv: the target 'price' is 1 in every example; choose")
    assert err.count("\n") == 1


def test_models(bnzoo):
    status, out, _ = bnzoo("models", "resnet*18")
    assert status == 0
    head, row, note = (line.split() for line in out.splitlines())
    assert head == ["model", "params", "MACs", "top-1", "%", "norm", "placement", "paper"]
    assert row[:8] == ["resnet18", "11.69", "M", "1.81", "G", "69.76", "batch", "post"]
    assert note[0] == "top-1:"
    status, out, _ = bnzoo("models")
    names = [line.split()[0] for line in out.splitlines()[1:-1]]
    assert {"mlp", "resnet50", "densenet_bc100_12", "wrn28_10", "vit_b16"} <= set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("command", [[], ["tune"], ["models"]])
def test_help_has_an_example(bnzoo, command):
    status, out, _ = bnzoo(*command, "--help")
    assert status == 0
    assert f"Example: bnzoo {command[0] if command else 'tune'}" in " ".join(out.split())


@pytest.mark.slow
def test_nothing_usable_is_status_1(bnzoo, tmp_path):
    options = ["--depths", "3", "--learning-rates", "1e5:1e6:2", "--norms", "none", "--epochs", "1", "--confirm", "2"]
    status, out, err = bnzoo("tune", "mlp", *options)
    assert status == 1
    assert "warning: --confirm 2 has no configuration to train again, since none is usable" in err
    assert "No configuration is usable" in out
    assert (tmp_path / "runs/mlp-digits/report.html").exists()


def test_stopped_by_the_user(bnzoo, monkeypatch):
    from bnzoo.tuning import Study

    def interrupted(self, **bounds):
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "run", interrupted)
    status, _, err = bnzoo("tune", *SMALL)
    assert (status, err) == (
        130,
        "bnzoo: stopped: 0 of 8 trials are done. The same command continues with the others\n",
    )


def test_values_of_axes_keep_their_digits():
    results = planted(lambda depth, norm, rate, seed: rate, depths=(8,), more={"weight_decay": (1e-5, 2e-4)})
    console = Console(file=io.StringIO(), width=80, force_terminal=False)
    print_rates(console, SimpleNamespace(results=results))
    head, *lines = (line.split() for line in console.file.getvalue().splitlines())
    assert head[:4] == ["depth", "norm", "weight", "decay"]
    assert [line[2] for line in lines] == ["1e-05", "0.0002", "1e-05", "0.0002"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_wide_table_is_not_cut(is_terminal):
    names = ["depth", "norm", "placement", "activation", "filters", "learning rate", "largest usable", "accuracy"]
    table = Table(*names, "loss", "usable", box=None)
    table.add_row("8", "batch", "act_norm", "relu", "16", "0.0548", "0.0548", "98.14%", "0.0854", "1/1")
    console = Console(file=io.StringIO(), width=80, force_terminal=is_terminal, color_system=None)
    print_table(console, table)
    lines = console.file.getvalue().splitlines()
    assert lines[-1].split() == ["8", "batch", "act_norm", "relu", "16", "0.0548", "0.0548", "98.14%", "0.0854", "1/1"]
    assert "…" not in console.file.getvalue()
    assert max(map(len, lines)) <= 80 or not is_terminal


def test_a_study_goes_on_with_its_placement_and_batch_size(bnzoo, monkeypatch, tmp_path, digits):
    """Earlier versions had other defaults."""
    from bnzoo.tuning import ResNetSpace, Study

    def interrupted(self, **bounds):
        self._begin()
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "run", interrupted)
    space = {"depths": (8,), "learning_rates": (0.1, 0.1, 1), "norms": ("batch",)}
    with pytest.raises(KeyboardInterrupt):
        Study(ResNetSpace(placement="pre", batch_size=32, **space), digits, tmp_path / "study").run()
    arguments = ["tune", "--depths", "8", "--learning-rates", "0.1:0.1:1", "--norms", "batch", "--output", "study"]
    assert bnzoo(*arguments)[0] == 130
    status, _, err = bnzoo(*arguments, "--placement", "post")
    assert (status, "space.placement: pre stored, post requested" in err) == (2, True)


def test_the_options_of_a_search_reach_the_study(bnzoo, monkeypatch):
    """The networks are not timed."""
    from bnzoo.tuning import Study

    asked = []

    def interrupted(self, **bounds):
        asked.append((self.get_arguments(), bounds))
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "run", interrupted)
    monkeypatch.setattr("bnzoo.cli.clock.Clock.timed", lambda self, study, *options: study)
    words = ["--objective", "macro_f1", "--class-weight", "balanced", "--equal", "compute", "--sampler", "tpe"]
    load, options = data.load, {}
    monkeypatch.setattr("bnzoo.data.load", lambda *source, **given: options.update(given) or load(*source, **given))
    words += ["--sampler-seed", 5, "--pruner", "median", "--precision", "bfloat16", "--seeds", 2, "--trials", 6]
    status, _, err = bnzoo("tune", *SMALL, "--data", "wine", *words, "--workers", 2)
    assert status == 130, err
    [(arguments, bounds)] = asked
    expected = {"objective": "macro_f1", "class_weight": "balanced", "equal": "compute", "sampler": "tpe"}
    expected |= {"sampler_seed": 5, "pruner": "median", "precision": "bfloat16", "seeds": 2, "epochs": 3}
    assert {name: arguments[name] for name in expected} == expected
    assert bounds == {"workers": 2, "trials": 6, "budget": None}
    assert options["max_memory"] == machine.memory() / 8, "half of a quarter for each of two workers"


@pytest.mark.slow
def test_optimizers_schedules_and_momenta_are_axes(bnzoo, monkeypatch, tmp_path):
    from bnzoo.tuning import Study

    asked = []

    def interrupted(self, **bounds):
        asked.append((self.space.axes(), self.enqueue))
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "run", interrupted)
    words = ["--optimizer", "sgd,adamw", "--schedule", "linear,warmup_cosine", "--momentum", "0.8,0.9"]
    words += ["--warmup", "0,0.2", "--enqueue", "optimizer=sgd(momentum=0.9),schedule=linear", "--output", "study"]
    assert bnzoo("tune", "mlp", *words)[0] == 130
    [(axes, start)] = asked
    assert axes["optimizer"] == ("sgd(momentum=0.8)", "sgd(momentum=0.9)", "adamw")
    assert (axes["schedule"], axes["warmup"]) == (("linear", "warmup_cosine"), (0.0, 0.2))
    assert start == [{"optimizer": "sgd(momentum=0.9)", "schedule": "linear"}]


@pytest.fixture
def models_raise(monkeypatch):
    """Let `bnzoo models` raise an error."""

    def let(error):
        def raises(pattern):
            raise error

        monkeypatch.setattr("bnzoo.list_models", raises)

    return let


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (
            TypeError("a b\nc"),
            70,
            "TypeError: a b c. This is a bug in bnzoo. Please report it. Run the command again",
        ),
        (KeyboardInterrupt(), 130, "stopped"),
        (OSError(28, "No space left on device"), 2, "No space left on device"),
        (PermissionError(13, "Permission denied", "a/b"), 2, "Permission denied: a/b"),
        (MemoryError(), 2, "There is not enough memory"),
        (ImportError("No module named 'x'"), 2, "No module named 'x'"),
        # a pipe other than standard output
        pytest.param(BrokenPipeError(32, "Broken pipe"), 2, "Broken pipe", marks=ON_POSIX),
    ],
)
def test_every_error_is_one_line(bnzoo, models_raise, error, status, message):
    models_raise(error)
    found, out, err = bnzoo("models")
    assert (found, out) == (status, "")
    assert err.startswith(f"bnzoo: {message}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--debug", "models"], ["models", "--debug"]])
def test_the_traceback_is_shown_where_it_is_asked_for(bnzoo, models_raise, arguments):
    models_raise(KeyError("postgresql://me:secret@host/x"))
    status, _, err = bnzoo(*arguments)
    assert status == 70
    assert "Traceback" in err
    assert "in raises" in err
    assert "secret" not in err
    assert bnzoo("models", "vgg", "--debug")[2].count("Traceback") == 1


@pytest.mark.parametrize("command", ["tune", "train", "rate"])
@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("0", "0")])
def test_commands_that_train_switch_onednn_on_unless_the_environment_has_decided(
    bnzoo, monkeypatch, command, before, after
):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", before or "")
    if before is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    assert bnzoo(command, "nonet")[0] == 2
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == after


def test_no_folder_for_temporary_files(bnzoo, monkeypatch):
    def none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/nowhere']")

    monkeypatch.setattr("tempfile.TemporaryFile", none)
    status, _, err = bnzoo("models")
    assert (status, err.count("\n")) == (2, 1)
    assert "['/nowhere']. Set TMPDIR to a folder" in err


ENDS = """
import os, sys
sys.argv = ["bnzoo", "--version"]
from bnzoo import cli
{before}
cli.main()
"""


@pytest.mark.parametrize(
    ("before", "status", "message"),
    [
        ("r, w = os.pipe(); os.close(r); os.dup2(w, 1)", 141, ""),
        pytest.param(
            "os.dup2(os.open('/dev/full', os.O_WRONLY), 1)", 2, "bnzoo: No space left on device\n", marks=ON_LINUX
        ),
        ("os.close(1); sys.stdout = None", 0, ""),
        ("os.close(2); sys.stderr = None; os.close(1); sys.stdout = None", 0, ""),
    ],
)
def test_nobody_reads_or_the_disk_is_full(before, status, message):
    """The interpreter prints no error at its exit either."""
    code = [sys.executable, "-c", ENDS.format(before=before)]
    ended = subprocess.run(code, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (status, message)


def test_importing_bnzoo_does_not_import_keras():
    script = "import sys, bnzoo; print([m for m in ('keras', 'tensorflow') if m in sys.modules])"
    code = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert code.stdout == "[]\n"


def test_help_is_quick_because_it_loads_nothing():
    script = "import sys; sys.argv = ['bnzoo', '--help']\nfrom bnzoo import cli\n"
    script += "try: cli.main()\nexcept SystemExit: print([m for m in ('keras', 'tensorflow') if m in sys.modules])"
    code = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert code.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_two_that_do_the_same_at_once_both_end_well(tmp_path):
    command = [BNZOO, "tune", *SMALL, "--data", "wine", "--epochs", "1"]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    both = [subprocess.Popen(command, **options) for _ in range(2)]
    for process in both:
        out, err = process.communicate()
        assert process.returncode == 0, err
        assert "Test accuracy" in out
    assert [path.name for path in (tmp_path / "runs/mlp-wine/best").iterdir()] == ["1"]


@pytest.mark.slow
def test_importing_bnzoo_is_light():
    """Keras imports some of these packages if they are installed. bnzoo imports no others."""
    heavy = "('keras_tuner', 'matplotlib', 'sklearn', 'optuna', 'pandas', 'typer', 'bnzoo.tuning', 'bnzoo.export')"
    script = f"""
import sys, keras
before = set(sys.modules)
import bnzoo
print([m for m in {heavy} if m in set(sys.modules) - before], bnzoo.ResNet50.__name__)
"""
    code = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert code.stdout == "[] ResNet50\n"


@pytest.mark.slow
@pytest.mark.parametrize("program", ["python", "bnzoo"])
@pytest.mark.parametrize("imports", ["import bnzoo, keras", "import keras, bnzoo"])
def test_keras_loads_a_saved_model_wherever_bnzoo_is_imported(tmp_path, imports, program):
    """The order of the imports does not matter, nor the name of the program."""
    import bnzoo
    from bnzoo.losses import MixedAccuracy, StandardSquaredError

    model = bnzoo.ResNetCifar(8, norm="filter_response", input_shape=(8, 8, 1))
    model.compile(bnzoo.optimizers.Muon(), StandardSquaredError(0.5), [MixedAccuracy()])
    model.save(tmp_path / "model.keras")
    script = f"import sys; sys.argv = [{program!r}]\n{imports}\n"
    script += f"print(keras.saving.load_model({str(tmp_path / 'model.keras')!r}).name)"
    code = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert code.stdout == "resnet8_cifar\n"


@ON_POSIX
@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_study_goes_on(tmp_path):
    """A limit on the size of written files simulates a full disk: the results fit, the model does not."""
    import resource

    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    command = [BNZOO, "tune", *SMALL, "--data", "wine"]
    options = {"capture_output": True, "text": True, "check": False, "cwd": tmp_path}
    full = subprocess.run(command, preexec_fn=small_files, **options)
    assert full.returncode == 2
    assert "Traceback" not in full.stderr
    assert full.stderr.splitlines()[-1].startswith("bnzoo: ")
    folder = tmp_path / "runs/mlp-wine"
    assert not (folder / "best.keras").exists()
    assert not list(folder.rglob(".draft-*")), "no draft is left"
    again = subprocess.run(command, **options)
    assert again.returncode == 0, again.stderr
    assert "Test accuracy" in again.stdout
    assert os.path.getsize(folder / "best.keras") > 20_000


def test_the_help_names_every_family(bnzoo, monkeypatch):
    """The command line has a list of its own, as the help must not import the families."""
    monkeypatch.setenv("COLUMNS", "200")
    out = bnzoo("tune", "--help")[1]
    (names,) = re.findall(r"The family of networks: ([a-z, ]+)\.", out)
    assert set(names.split(", ")) == set(FAMILIES)
