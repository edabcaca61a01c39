"""Measure `bnzoo train`: its accuracy within a budget, and its weights after SIGKILL at random moments.

python -m recipes.benchmarks.train accuracy FILE.npz [--budget 7m] [--seeds 3]
python -m recipes.benchmarks.train killed [--data digits] [--epochs 20] [--kills 10]

`accuracy` trains ResNet-8 with batches of 128, flip and crop, at the learning rate 0.2, and prints the test accuracy of
the SavedModel and the seconds of the command. `killed` trains the same model twice: once whole, and once with ten
kills at random moments, up to two seconds after a checkpoint. It compares the weights, bit for bit.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import bnzoo
from bnzoo.training.store import CHECKPOINT

# a checkpoint each half second, so that a short training has many
SCRIPT = "from bnzoo.cli import main; from bnzoo.training import checkpoints; checkpoints.INTERVAL = {interval}; main()"

app = typer.Typer(help=__doc__, add_completion=False)


def command(interval: float) -> list[str]:
    """Return the words of `bnzoo train resnet`, with the seconds between two checkpoints."""
    return [sys.executable, "-c", SCRIPT.format(interval=interval), "train", "resnet", "--depth", "8"]


@app.command()
def accuracy(
    data: Annotated[str, typer.Argument(help="The data, as for bnzoo train.")],
    budget: Annotated[str, typer.Option(help="The time of each training.")] = "7m",
    seeds: Annotated[int, typer.Option(help="The number of seeds.")] = 3,
) -> None:
    """Print the test accuracy within a budget."""
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            start = time.monotonic()
            options = ["--learning-rate", "0.2", "--augment", "flip,crop", "--placement", "post"]
            words = [*command(30.0), "--data", data, *options, "--budget", budget, "--seed", str(seed)]
            subprocess.run([*words, "--output", f"{folder}/run"], check=True)
            artefact = json.loads(Path(folder, "run", "export.json").read_text())
            found.append(artefact["test_accuracy"])
            seconds, epochs = time.monotonic() - start, artefact["training"]["epochs"]
            print(f"seed {seed}: {found[-1]:.2%}, {seconds:.0f} s, {epochs} epochs", flush=True)
    print(f"median of {seeds} seeds: {np.median(found):.2%}")


def written(folder: Path) -> float:
    """Return the time of the last checkpoint in the folder of a training; 0 without one."""
    path = folder / CHECKPOINT
    return path.stat().st_mtime if path.exists() else 0.0


@app.command()
def killed(
    data: Annotated[str, typer.Option(help="The data, as for bnzoo train.")] = "digits",
    epochs: Annotated[int, typer.Option(help="The number of epochs.")] = 20,
    kills: Annotated[int, typer.Option(help="The number of kills.")] = 10,
) -> None:
    """Kill a training at random moments, and compare its weights with those of a whole one."""
    with tempfile.TemporaryDirectory() as folder:
        words = [*command(0.5), "--data", data, "--augment", "crop", "--epochs", str(epochs)]
        words += ["--batch-size", "32", "--precision", "float32"]
        whole, stopped = Path(folder, "whole"), Path(folder, "stopped")
        subprocess.run([*words, "--output", str(whole)], check=True, capture_output=True)
        moments = random.Random(0)
        for number in range(kills):
            before = written(stopped)
            process = subprocess.Popen([*words, "--output", str(stopped)], stdout=subprocess.DEVNULL)
            while written(stopped) == before and process.poll() is None:
                time.sleep(0.01)
            time.sleep(moments.uniform(0, 2))
            process.kill()
            print(f"kill {number + 1}: status {process.wait()}", flush=True)  # 0: it had ended before
        subprocess.run([*words, "--output", str(stopped)], check=True, capture_output=True)
        one, two = (bnzoo.load_model(path / "best.keras", compile=False).weights for path in (whole, stopped))
        same = all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
        print(f"weights after {kills} kills: {'the same, bit for bit' if same else 'different'}")
        raise typer.Exit(not same)


if __name__ == "__main__":
    app()
