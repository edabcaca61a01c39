"""Measure what `bnzoo tune --budget` delivers, and when, against tuners of Keras Tuner with the same seconds.

python -m recipes.benchmarks.budget arrays FILE.npz [--budget 10m] [--seeds 3] [--rows runs/budget.jsonl]
python -m recipes.benchmarks.budget jpeg [--files 8000] [--side 64] [--budget 3m]

`arrays` runs `bnzoo tune resnet --data FILE.npz --budget 10m` and, with the same seconds and the same space,
`keras_tuner.RandomSearch` and `keras_tuner.Hyperband` (trials of 9 epochs, batches of 64, other arguments at their
defaults), in turns, and AutoKeras if it is installed. A seed is that of the split of the data, the same for each arm,
and that of the tuners. The test figures are those of the SavedModel of bnzoo, and of the best model of a tuner
with recalibrated statistics. The seconds are those of the whole command, and for the tuners those of the search. The
trials are those that ended without an error, Hyperband's promotions counted as separate ones; those of AutoKeras are
not known. Those of bnzoo have a third of the budget, as most of the rest is for the final training. Each run is kept in
a file of JSON lines, so that a command that was stopped goes on with the runs that are missing, on the same processor.

`jpeg` writes files of six classes, runs `bnzoo tune resnet --data FOLDER --budget 3m`, and sends JPEG bytes to the
SavedModel in a process with TensorFlow alone.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Annotated, Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
import typer

from bnzoo import data, tools, tuning
from recipes.benchmarks.paired import paired, printed
from recipes.benchmarks.rows import RowFile, processor
from recipes.benchmarks.tuning import ENDLESS, EPOCHS, Budget, recording_in_time, search_until
from recipes.benchmarks.turns import ENVIRONMENT, Worker, rotated, serve

CLASSES = ("checks", "dots", "noise", "rings", "stripes", "waves")
SECONDS = {"s": 1, "m": 60, "h": 3600}
COMMAND = [sys.executable, "-c", "import sys; from bnzoo.cli import main; sys.exit(main())", "tune", "resnet"]
STOCK: dict[str, Any] = {
    "RandomSearch": (keras_tuner.RandomSearch, {"max_trials": ENDLESS}),
    "Hyperband": (keras_tuner.Hyperband, {"max_epochs": EPOCHS, "hyperband_iterations": ENDLESS}),
}
ARMS = ("bnzoo", *STOCK, "AutoKeras")
ANSWER = """
import json, sys, tensorflow as tf
files = [open(path, "rb").read() for path in sys.argv[2:]]
answer = tf.saved_model.load(sys.argv[1]).signatures["serve_image_bytes"](image_bytes=tf.constant(files))
print(json.dumps([label.decode() for label in answer["label"].numpy()[:, 0]]))
"""

app = typer.Typer(help=__doc__, add_completion=False)


def tune(source: Path, budget: str, folder: Path) -> dict[str, Any]:
    """Run `bnzoo tune` and return its seconds, its trials, the test accuracy of the artefact, plan and choices."""
    start = time.monotonic()
    arguments = ["--data", str(source), "--budget", budget, "--output", str(folder)]
    ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    if ended.returncode < 0:
        raise RuntimeError(f"bnzoo tune was killed by the signal {-ended.returncode}. Run the same command again")
    if ended.returncode:
        note = f"status {ended.returncode}: {''.join(ended.stderr.splitlines()[-1:])}"
        return {"seconds": seconds, "trials": float("nan"), "test": float("nan"), "note": note}
    artefact = json.loads((folder / "export.json").read_text())
    plan, *others = ended.stdout.splitlines()
    best = [line for line in others if line.startswith("Best: ")]
    trained = [line for line in ended.stderr.splitlines() if " weights (" in line]
    note = "; ".join([plan, *best, *trained])
    trials = int((pd.read_csv(folder / "results.csv")["outcome"] != "failed").sum())
    return {"seconds": seconds, "trials": trials, "test": 100 * artefact["test_accuracy"], "note": note}


class Stock:
    """A tuner of Keras Tuner, or AutoKeras, in a worker process."""

    def __init__(self, name: str, path: str) -> None:
        self.name, self.data, self._trials = name, data.load(path), float("nan")

    def run(self, seconds: str, seed: str) -> dict[str, Any]:
        """Search for some seconds and return the number of trials and the test accuracy of the best model."""
        keras.utils.set_random_seed(int(seed))
        with tempfile.TemporaryDirectory() as folder:
            start, model, note = time.monotonic(), None, "no model"
            search = self._autokeras if self.name == "AutoKeras" else self._search
            try:
                model = search(float(seconds), int(seed), folder)
            except Exception as error:  # AutoKeras 3.0.0 does not build a model with Keras 3.15
                place = traceback.extract_tb(error.__traceback__)[-1]
                note = f"{type(error).__name__} in {Path(place.filename).name}, line {place.lineno}: {error}"
                note = note.partition("\n")[0]
            row = {"seconds": time.monotonic() - start, "trials": self._trials, "test": float("nan"), "note": note}
            if model is not None:
                right = model.predict(self.data.test.x, verbose=0).argmax(-1) == self.data.test.y
                row |= {"test": 100 * float(right.mean()), "note": ""}
        return row

    def _search(self, seconds: float, seed: int, folder: str) -> keras.Model | None:
        kind, options = STOCK[self.name]
        budget = Budget(seconds)
        space = tuning.ResNetSpace().for_data(self.data)
        tuner = recording_in_time(kind, budget)(space, objective="val_accuracy", seed=seed, directory=folder, **options)
        search_until(budget, tuner, self.data)
        every = [tuner.oracle.trials[number] for number in tuner.oracle.end_order]
        done = [trial for trial in every if trial.status == "COMPLETED"]
        self._trials = len(done)
        if not done:
            return None
        model = tuner.load_model(max(done, key=lambda trial: trial.score))
        tools.recalibrate_batch_norm(model, self.data.train.x)
        return model

    def _autokeras(self, seconds: float, seed: int, folder: str) -> keras.Model | None:
        import autokeras

        budget = Budget(seconds)
        stop = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: budget.check())
        search = autokeras.ImageClassifier(max_trials=ENDLESS, seed=seed, directory=folder)
        try:
            search.fit(*self.data.train, validation_data=tuple(self.data.validation), callbacks=[stop], verbose=0)
        except Exception:  # the end of the budget, in whatever AutoKeras makes of it
            if budget.left > 0:
                raise
        return search.export_model()


def contestants() -> list[str]:
    """Return the names of the arms that are installed."""
    try:
        import autokeras  # noqa: F401
    except ImportError:
        return ["bnzoo", *STOCK]
    return list(ARMS)


def seconds_of(text: str) -> float:
    """Return the seconds of a time such as `10m`."""
    return float(text[:-1]) * SECONDS[text[-1]]


@app.command()
def arrays(
    file: Annotated[Path, typer.Argument(help="An .npz file with x and y.")],
    budget: Annotated[str, typer.Option(help="The budget of each run: 90s, 10m, 1h.")] = "10m",
    seeds: Annotated[int, typer.Option(help="The runs of each arm.", min=1)] = 3,
    only: Annotated[str | None, typer.Option(help=f"One arm only: {', '.join(ARMS)}.")] = None,
    rows: Annotated[Path, typer.Option(help="The file of JSON lines.")] = Path("runs/budget.jsonl"),
) -> None:
    """Compare bnzoo with stock tuners on arrays, with the runs that are missing in the file of rows."""
    if only not in (None, *ARMS):
        raise typer.BadParameter(f"{only!r} is not one of {', '.join(ARMS)}", param_hint="--only")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # for all arms, as `bnzoo tune` sets it for itself
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    settings = {"file": file.name, "sha256": digest, "budget": seconds_of(budget), "processor": processor()}
    settings["onednn"] = os.environ["TF_ENABLE_ONEDNN_OPTS"]
    done = RowFile(rows, **settings)
    arms = [only] if only else contestants()
    for seed in range(1, seeds + 1):  # Keras Tuner treats a seed of 0 as none
        missing = [arm for arm in rotated(arms, seed) if not done.has(arm=arm, seed=seed)]
        with tempfile.TemporaryDirectory() as folder:
            path = shuffled(file, seed, Path(folder)) if missing else file
            for arm in missing:
                if arm == "bnzoo":
                    row = tune(path, budget, Path(folder) / "study")
                else:
                    with Worker(arm, "recipes.benchmarks.budget", "worker", arm, str(path)) as worker:
                        row = worker.ask(f"run {seconds_of(budget)} {seed}")
                done.add({"arm": arm, "seed": seed, **row})
                figures = f"{row['seconds']:6.0f} s  {row['trials']:3} trials  test {row['test']:.2f} %"
                print(f"seed {seed} {arm:12} {figures}  {row['note']}", flush=True)
    print(f"\n{budget} each on {settings['processor']}")
    print("medians of the `runs`, of `test` those of the `models`; bnzoo against each arm by seed")
    print(printed(summary(pd.DataFrame(done.rows))))


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each arm with medians over seeds, and the columns of `paired` if there are runs of bnzoo.

    Args:
        frame: Data frame of the rows of the file. `test` is the test accuracy, NaN for a run without a model.
    """
    columns = {name: (name, "median") for name in ("seconds", "trials", "test")}
    table = frame.groupby("arm").agg(**columns, runs=("seed", "count"), models=("test", "count"))
    table = table.reindex([arm for arm in ARMS if arm in table.index])
    return table.join(paired(frame, "trials", ["test"])) if "bnzoo" in table.index else table


def shuffled(file: Path, seed: int, folder: Path) -> Path:
    """Write the arrays in another order, which is another split, and return the path."""
    with np.load(file) as content:
        order = np.random.default_rng(seed).permutation(len(content["y"]))
        path = folder / file.name
        np.savez(path, x=content["x"][order], y=content["y"][order])
    return path


@app.command()
def jpeg(
    files: Annotated[int, typer.Option(help="The number of files.", min=60)] = 8000,
    side: Annotated[int, typer.Option(help="The height and width of an image.", min=16)] = 64,
    budget: Annotated[str, typer.Option(help="The budget: 90s, 3m, 1h.")] = "3m",
) -> None:
    """Measure the time from JPEG files to an artefact that answers JPEG bytes."""
    with tempfile.TemporaryDirectory() as folder:
        source, study = Path(folder) / "images", Path(folder) / "study"
        paths = write_files(source, files, side)
        row = tune(source, budget, study)
        print(f"{row['note']}\n{row['seconds']:.0f} s of {seconds_of(budget):.0f} s, test {row['test']:.2f} %")
        best = max((study / "best").iterdir(), key=lambda path: int(path.name))
        asked = [str(path) for path in paths[:: max(1, files // 60)]]
        answer = subprocess.run(
            [sys.executable, "-c", ANSWER, str(best), *asked],
            capture_output=True,
            text=True,
            check=True,
            env={**ENVIRONMENT},
        )
        labels = json.loads(answer.stdout.splitlines()[-1])
        right = sum(label == Path(path).parent.name for label, path in zip(labels, asked, strict=True))
        print(f"the SavedModel names the class of {right} of {len(asked)} files from their bytes")


def write_files(folder: Path, count: int, side: int) -> list[Path]:
    """Write noisy patterns of six classes as JPEG files, and return their paths."""
    from PIL import Image

    generator = np.random.default_rng(0)
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    paths = []
    for number in range(count):
        name = CLASSES[number % len(CLASSES)]
        size, phase = generator.uniform(3, 8), generator.uniform(0, 2 * np.pi, 2)
        x, y = 2 * np.pi * size * rows + phase[0], 2 * np.pi * size * columns + phase[1]
        pattern = {
            "checks": np.sign(np.sin(x) * np.sin(y)),
            "dots": np.sin(x) * np.sin(y),
            "noise": generator.normal(0, 0.7, (side, side)),
            "rings": np.sin(2 * np.pi * size * np.hypot(rows, columns) + phase[0]),
            "stripes": np.sign(np.sin(x)),
            "waves": np.sin(x + 2 * np.sin(y)),
        }[name]
        noisy = (
            0.5 + 0.25 * pattern[..., None] * generator.uniform(0.3, 1, 3) + generator.normal(0, 0.15, (side, side, 3))
        )
        path = folder / name / f"{number:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * noisy.clip(0, 1)).astype(np.uint8)).save(path, quality=85)
        paths.append(path)
    return paths


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        serve(lambda: Stock(*sys.argv[2:]))
    else:
        app()
