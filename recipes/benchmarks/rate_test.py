"""Measure how often the interval of the range test holds the learning rate that a grid finds best.

python -m recipes.benchmarks.rate_test [--only 2] [--rows runs/rate_test.jsonl]

45 architectures on the digits: ResNet and MLP with SGD, ViT with AdamW, each at five depths with batch, group and no
norm. The grid of an architecture has nine rates, a factor of 3.2 apart, in trials of 9 epochs with half a cosine; the
best rate is the one with the lowest validation loss. The range test has its defaults. The losses of both are kept in a
file of JSON lines, so that the same command continues, and at the end prints the table anew. Rows of other `--epochs`
need another file.
"""

import itertools
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import pandas as pd
import typer

from bnzoo import data, tuning
from bnzoo.metrics.intervals import wilson
from recipes.benchmarks.rows import RowFile

EPOCHS, SEED = 9, 0
NORMS = ("batch", "group", None)
# the space of a family, its depths and its grid
FAMILIES: dict[str, tuple[Any, tuple[int, ...], tuple[float, float, int]]] = {
    "resnet": (tuning.ResNetSpace, (8, 14, 20, 26, 32), (1e-3, 10.0, 9)),
    "mlp": (tuning.MLPSpace, (1, 2, 4, 8, 16), (1e-3, 10.0, 9)),
    "vit": (tuning.ViTSpace, (1, 2, 3, 4, 6), (1e-5, 0.1, 9)),
}

# the family, the depth and the norm of an architecture
Architecture = tuple[str, int, str | None]


def architectures() -> list[Architecture]:
    """Return all architectures, the shallowest of each family first."""
    levels = range(len(FAMILIES["resnet"][1]))
    return [(family, FAMILIES[family][1][i], norm) for i, family, norm in itertools.product(levels, FAMILIES, NORMS)]


def measure(architecture: Architecture, digits: data.Dataset, epochs: int = EPOCHS) -> dict[str, Any]:
    """Return the losses of the range test and of the grid of an architecture, as JSON."""
    family, depth, norm = architecture
    kind, _, rates = FAMILIES[family]
    space = kind(depths=(depth,), norms=(norm,), learning_rates=rates)
    start = time.perf_counter()
    (found,) = tuning.rate_test(space, digits, seed=SEED)
    seconds = time.perf_counter() - start
    keras.backend.clear_session()
    with tempfile.TemporaryDirectory() as folder:
        study = tuning.Study(space, digits, folder, epochs=epochs)
        study.run(lambda study, event: None)
        trials = [[trial.learning_rate, trial.outcome, trial.score, trial.accuracy] for trial in study.results.trials]
    return {
        "architecture": list(architecture),
        "seconds": [round(seconds, 1), round(time.perf_counter() - start - seconds, 1)],
        "rates": [float(f"{rate:.6g}") for rate in found.rates],
        "losses": [[float(f"{loss:.5g}") for loss in losses] for losses in found.losses],
        "trials": trials,
    }


def result(row: dict[str, Any]) -> dict[str, Any]:
    """Return the line of an architecture in the table."""
    family, depth, norm = row["architecture"]
    found = tuning.RateTest(family, np.array(row["rates"]), np.array(row["losses"]))
    usable = {rate: (score, accuracy) for rate, outcome, score, accuracy in row["trials"] if outcome == "ok"}
    low, high = found.interval or (np.nan, np.nan)
    line = {"family": family, "depth": depth, "norm": norm or "none", "low": low, "high": high, "end": found.end}
    line |= {"suggested": found.suggested or np.nan, "best": np.nan, "inside": None, "accuracy": np.nan}
    line |= {"at suggested": np.nan, "test s": row["seconds"][0], "grid s": row["seconds"][1]}
    if usable:
        best = min(usable, key=lambda rate: usable[rate][0])
        line |= {"best": best, "inside": bool(low <= best <= high), "accuracy": 100 * usable[best][1]}
    if usable and found.suggested is not None:
        every = {rate: accuracy for rate, _, _, accuracy in row["trials"]}
        nearest = min(every, key=lambda rate: abs(np.log(rate / found.suggested)))
        line["at suggested"] = 100 * every[nearest]
    return line


def summary(lines: pd.DataFrame) -> str:
    """Return the share of the intervals that hold the best rate, in all and for each norm, their widths, and times."""
    counted = lines[lines["inside"].notna()]
    texts = []
    for name, part in (("all", counted), *counted.groupby("norm", sort=False)):
        hits, total = int(part["inside"].sum()), len(part)
        low, high = wilson(hits / total, total)
        decades = float(np.log10(part["high"] / part["low"]).median())
        texts.append(
            f"{name}: {hits} of {total} intervals hold the best rate ({100 * hits / total:.0f} %, 95 % interval "
            f"{100 * low:.0f} to {100 * high:.0f} %), median width {decades:.1f} decades; accuracy at the grid's rate "
            f"next to the suggested one {(part['at suggested'] - part['accuracy']).median():+.1f} points (median)"
        )
    left = len(lines) - len(counted)
    texts.append(f"without a usable rate in the grid: {left}")
    texts.append(f"median seconds: {lines['test s'].median():.1f} of a test, {lines['grid s'].median():.1f} of a grid")
    return "\n".join(texts)


def main(
    only: Annotated[int | None, typer.Option(help="Measure the first N architectures only.", min=1)] = None,
    rows: Annotated[Path, typer.Option(help="The file of JSON lines.")] = Path("runs/rate_test.jsonl"),
    epochs: Annotated[int, typer.Option(help="The epochs of a trial of the grid.", min=1)] = EPOCHS,
) -> None:
    """Measure the architectures that are missing in the file, and print the table and the hit rate."""
    digits, done = data.load("digits"), RowFile(rows, epochs=epochs)
    for architecture in architectures()[:only]:
        if not done.has(architecture=list(architecture)):
            done.add(measure(architecture, digits, epochs))
            print(result(done.rows[-1]), flush=True)
    lines = pd.DataFrame(map(result, done.rows))
    print(lines.to_string(index=False, float_format=lambda value: f"{value:.3g}"))
    print(summary(lines))


if __name__ == "__main__":
    typer.run(main)
