"""Compare the search along the law over depth with the full grid, on finished studies.

python -m recipes.benchmarks.law [--folder runs/law] [--studies 10] [--epochs 9]

The first part runs `--studies` full grids on the digits (MLPs, ResNets and vision transformers in turn, each with
another split of the data), each in a folder of its own. A command that was stopped goes on where it was. The second
part replays `sampler="law"` on the `results.csv` of each study in `--folder`: the score of a proposed configuration is
that of the grid, so that nothing is trained. Other studies with `sampler="grid"` can be copied into `--folder`.

A study is a hit if the best configuration that the law has tried is that of the grid, or differs from it by one step of
the learning rate and in nothing else. `behind` is the difference of their scores. The criterion is a hit with at most
half of the trials of the grid, in each study. A study whose grid is incomplete is named and left out.
"""

import math
from pathlib import Path
from typing import Annotated, Any

import keras_tuner
import optuna
import pandas as pd
import typer
from optuna.study import StudyDirection

from bnzoo import data, tuning
from bnzoo.tuning.law import LawPlan

RATE = "learning_rate"
# each has four depths: of three depths with seven rates the law needs about half of the trials
SPACES: tuple[tuple[type[tuning.Space], dict[str, Any]], ...] = (
    (tuning.MLPSpace, {"depths": (2, 4, 8, 16), "norms": ("batch", None)}),
    (tuning.ResNetSpace, {"depths": (8, 14, 20, 32), "norms": ("batch", None)}),
    (tuning.ViTSpace, {"depths": (1, 2, 4, 8), "norms": ("layer", "batch")}),
)


def run_grid(number: int, folder: Path, epochs: int) -> None:
    """Run a study of the whole grid, or the trials that are missing."""
    kind, axes = SPACES[number % len(SPACES)]
    digits = data.load("digits", seed=number)
    study = tuning.Study(kind(**axes), digits, folder / f"{number}-{kind.family.name}", epochs=epochs)
    study.run()


def replay(path: Path) -> dict[str, Any]:
    """Replay the search on the table of a study with a full grid, and return a row of the comparison.

    Args:
        path: A `results.csv`.

    Raises:
        ValueError: If the grid is incomplete, or has too few depths or rates.
    """
    table = pd.read_csv(path, keep_default_na=False)
    axes = list(table.columns[1 : list(table.columns).index("seed")])
    scores = table.groupby(axes, sort=False)["score"].mean()
    full = math.prod(table[axis].nunique() for axis in axes)
    if len(scores) < full:
        raise ValueError(f"the grid is incomplete: {len(scores)} of {full} configurations")
    hp = keras_tuner.HyperParameters()
    for axis in axes:
        hp.Choice(axis, table[axis].unique().tolist())
    plan, history = LawPlan(hp, StudyDirection.MINIMIZE), []
    while (trial := plan.configuration(len(history), history)) is not None:
        value = float(scores[tuple(trial.params[axis] for axis in axes)])
        history.append(optuna.create_trial(value=value, params=trial.params, distributions=trial.distributions))
    found = min(history, key=lambda trial: trial.value or 0.0).params
    best = dict(zip(axes, scores.idxmin(), strict=True))
    rates = sorted(table[RATE].unique())
    steps = abs(rates.index(found[RATE]) - rates.index(best[RATE]))
    same = all(found[axis] == best[axis] for axis in axes if axis != RATE)
    return {
        "study": path.parent.name,
        "grid": len(scores),
        "law": len(history),
        "share": len(history) / len(scores),
        "best of the grid": _words(best),
        "best of the law": _words(found),
        "behind": scores[tuple(found[axis] for axis in axes)] - scores.min(),
        "hit": same and steps <= 1,
    }


def _words(values: dict[str, Any]) -> str:
    return " ".join(f"{value:.4g}" if isinstance(value, float) else str(value) for value in values.values())


def main(
    folder: Annotated[Path, typer.Option(help="The folder of the studies.")] = Path("runs/law"),
    studies: Annotated[int, typer.Option(help="The number of studies to run.", min=0)] = 10,
    epochs: Annotated[int, typer.Option(help="The epochs of a trial.", min=1)] = 9,
) -> None:
    """Run the grids that are missing, replay the search on all of them, and print the comparison."""
    for number in range(studies):
        run_grid(number, folder, epochs)
    found = []
    for path in sorted(folder.glob("*/results.csv")):
        try:
            found.append(replay(path))
        except ValueError as error:
            print(f"{path} is left out: {error}")
    if not found:
        raise typer.BadParameter(f"{folder} has no study with a full grid. Pass --studies 1 to run one.")
    rows = pd.DataFrame(found)
    print(rows.to_string(index=False, float_format="%.3g"))
    print(
        f"{(rows['hit'] & (rows['share'] <= 0.5)).sum()} of {len(rows)} studies are hits with at most half of the "
        f"trials of the grid ({rows['hit'].sum()} are hits); share of the trials: mean {rows['share'].mean():.1%}, at "
        f"most {rows['share'].max():.1%}"
    )


if __name__ == "__main__":
    typer.run(main)
