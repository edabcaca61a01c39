import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from bnzoo import cli

SMALL = ["mlp", "--depths", "1,2", "--learning-rates", "0.01:1:2", "--epochs", "3", "--batch-size", "32"]
BNZOO = Path(sys.executable).with_name("bnzoo")


@pytest.fixture
def bnzoo(monkeypatch, capfd, tmp_path):
    """Runs a command line in this process, in an empty folder; gives status, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["bnzoo", *map(str, arguments)])
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
    assert "8/8" in err.splitlines()[-1]
    assert len(pd.read_csv(folder / "results.csv")) == 8

    line = next(line for line in out.splitlines() if line.startswith("Test accuracy"))
    from bnzoo import data

    wine = data.load("wine")
    serve = tf.saved_model.load(folder / "best/1").signatures["serve"]
    logits = serve(features=tf.constant(wine.test.x))["logits"].numpy()
    assert f"{(logits.argmax(-1) == wine.test.y).mean():.2%} on {len(wine.test.y)} examples" in line
    assert (folder / "best/1/assets/labels.txt").read_text().split() == list(wine.labels)

    status, again, err = bnzoo("tune", *SMALL, "--data", "wine")
    assert (status, again, err) == (0, out, ""), "the second time it prints the same at once"

    status, _, err = bnzoo("tune", *SMALL, "--data", "wine", "--seeds", "2")
    assert status == 2
    assert "seeds: 1 there, 2 asked for" in err


@pytest.mark.slow
def test_a_table_a_sampler_and_a_bound(bnzoo, tmp_path):
    """A regression on a CSV file with a text column and holes, sampled, pruned, bounded; HParams runs too."""
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
    status, out, err = bnzoo("export", folder / "best.keras", "served", "--data", "houses.csv", "--target", "price")
    assert status == 0, err
    assert "R²" in out.splitlines()[-3]


@pytest.mark.slow
def test_what_is_left_out_is_told_and_done_later(bnzoo, tmp_path, monkeypatch):
    monkeypatch.setattr("bnzoo.reports.write_report", lambda *arguments: None)  # which other tests look at
    status, out, _ = bnzoo("tune", *SMALL, "--data", "wine", "--trials", "3", "--budget", "10m")
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
        (["tune", "--budget", "10x"], "--budget must be a time, as 90s, 10m or 2h. Received: '10x'"),
        (["tune", "--sampler", "tpe"], "give `budget`, `trials` or both"),
        (["tune", "--sampler", "tp", "--trials", "3"], "Unknown `sampler`: 'tp'. Did you mean 'tpe'"),
        (["tune", "--pruner", "halving"], "Unknown `pruner`: 'halving'"),
        (["tune", "--workers", "0"], "`workers` must be a positive integer"),
        (["tune", "--enqueue", "depth:8"], "--enqueue must be NAME=VALUE. Received: 'depth:8'"),
        (["tune", "--enqueue", "depth=9"], "depth must be one of 8, 14, 20"),
        (["tune", "--option", "filtres=8"], "Did you mean 'filters'"),
        (["tune", "--batch-size", "1"], "`batch_size` must be at least 2"),
        (["tune", "--target", "price"], "target"),
        (["tune", "--storage", "nonsense"], "must be an SQLAlchemy URL"),
        (["tune", "--storage", "postgresql://me:secret@127.0.0.1:1/x"], "cannot be used"),
        (["tune", "--learning-rates", "3:1e-3:7"], "two positive numbers"),
        (["tune", "--learning-rates", "-1:3:7"], "two positive numbers"),
        (["tune", "--norms", "batch,bach"], "Unknown norm: 'bach'. Did you mean 'batch'?"),
        (["tune", "--placement", "prae"], "Unknown placement for resnet: 'prae'"),
        (["tune", "--seeds", "0"], "`seeds` must be a positive integer"),
        (["tune", "--epochs", "many"], "--epochs"),
        (["tune", "--data", "digts"], "Unknown data set: 'digts'. Did you mean 'digits'?"),
        (["tune", "--data", "nowhere/scans.npz"], "there is no such file or folder"),
        (["tune", "--data", "empty"], "no subfolders"),
        (["tune", "--data", "wine"], "ResNetSpace needs images"),
        (["tune", "mlp", "--norms", "instance"], "one value per group"),
        (["tune", "--data", "bad.npz"], "no array named y"),
        (["tune", "--output", "file/study"], "Not a directory"),
        (["tune", "--output", "/proc/study"], "No such file or directory: /proc/study"),
        (["models", "vgg"], "No model matches 'vgg'"),
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
    status, out, _ = bnzoo(
        "tune", "mlp", "--depths", "3", "--learning-rates", "1e5:1e6:2", "--norms", "none", "--epochs", "1"
    )
    assert status == 1
    assert "No configuration is usable" in out
    assert (tmp_path / "runs/mlp-digits/report.html").exists()


def test_stopped_by_the_user(bnzoo, monkeypatch):
    from bnzoo.tuning import Study

    def interrupted(self, **bounds):
        raise KeyboardInterrupt

    monkeypatch.setattr(Study, "run", interrupted)
    status, _, err = bnzoo("tune", *SMALL)
    assert (status, err) == (130, "bnzoo: stopped, 0 of 8 trials are done; the same command goes on with the others\n")


def test_help_is_quick_because_it_loads_nothing():
    script = "import sys; sys.argv = ['bnzoo', '--help']\nfrom bnzoo import cli\n"
    script += "try: cli.main()\nexcept SystemExit: print([m for m in ('keras', 'tensorflow') if m in sys.modules])"
    code = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert code.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_importing_bnzoo_is_light():
    """Keras itself imports some of these where they are installed; bnzoo adds none."""
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
def test_a_saved_model_loads_wherever_bnzoo_was_imported(tmp_path):
    import bnzoo

    bnzoo.ResNetCifar(8, input_shape=(8, 8, 1)).save(tmp_path / "model.keras")
    script = f"import bnzoo, keras; print(keras.saving.load_model({str(tmp_path / 'model.keras')!r}).name)"
    code = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert code.stdout == "resnet8_cifar\n"


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_study_goes_on(tmp_path):
    """The largest file that the process may write stands in for the disk: results fit, the model does not."""

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
