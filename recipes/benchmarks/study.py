"""Compare the duration of a study with that of `keras_tuner.GridSearch` on the same grid.

python -m recipes.benchmarks.study [PAIRS]

Both train every configuration of 2 depths x 4 learning rates (ResNet, batch norm) for one epoch on the digits, from the
same space. `GridSearch` builds, compiles and traces every model again. Each run has a separate process, and the two
kinds alternate. Imports and loading data are not timed.
"""

import statistics
import subprocess
import sys
import tempfile
import time

PAIRS = 3
BATCH_SIZE = 64
GRID = {"depths": (8, 20), "learning_rates": (0.01, 1.0, 4), "norms": ("batch",), "batch_size": BATCH_SIZE}


def bnzoo_study(folder: str) -> float:
    """Return the seconds of the study, including recalibrated scores, checkpoints and records."""
    from bnzoo import data, tuning

    study = tuning.Study(tuning.ResNetSpace(**GRID), data.load("digits"), folder, epochs=1)
    start = time.perf_counter()
    study.run(lambda study, event: None)
    seconds = time.perf_counter() - start
    assert len(study.results) == 8, "the grid is incomplete"
    return seconds


def stock_grid_search(folder: str) -> float:
    """Return the seconds of `GridSearch` over the same values, with its other arguments at their defaults."""
    import keras_tuner

    from bnzoo import data, tuning

    digits = data.load("digits")
    space = tuning.ResNetSpace(**GRID).for_data(digits)

    class Grid(keras_tuner.HyperModel):
        """The same models, with the learning rate as the `Choice` that `GridSearch` needs."""

        def build(self, hp: keras_tuner.HyperParameters) -> object:
            hp.Choice("depth", list(space.depths))
            hp.Choice("learning_rate", list(space.learning_rates))
            hp.values["norm"] = "batch"
            return space.build(hp)

    start = time.perf_counter()
    tuner = keras_tuner.GridSearch(
        Grid(), objective="val_accuracy", max_trials=8, directory=folder, project_name="grid"
    )
    tuner.search(*digits.train, epochs=1, batch_size=BATCH_SIZE, validation_data=tuple(digits.validation), verbose=0)
    seconds = time.perf_counter() - start
    assert len(tuner.oracle.get_best_trials(99)) == 8, "the grid is incomplete"
    return seconds


KINDS = {"bnzoo": bnzoo_study, "stock": stock_grid_search}


def timed(kind: str) -> float:
    """Return the seconds of one kind, in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "recipes.benchmarks.study", kind, folder]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def main(pairs: int = PAIRS) -> None:
    """Print each pair, the medians, and the median of the paired ratios."""
    durations: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for pair in range(pairs):
        for kind in list(KINDS)[:: 1 if pair % 2 else -1]:
            durations[kind].append(timed(kind))
        ours, stock = durations["bnzoo"][-1], durations["stock"][-1]
        print(f"pair {pair + 1}: bnzoo {ours:.1f} s, stock {stock:.1f} s, ratio {ours / stock:.2f}", flush=True)
    ratios = [a / b for a, b in zip(*durations.values(), strict=True)]
    medians = {kind: statistics.median(seconds) for kind, seconds in durations.items()}
    print(
        f"2 depths x 4 rates, one epoch each: bnzoo {medians['bnzoo']:.1f} s, keras_tuner.GridSearch "
        f"{medians['stock']:.1f} s (medians of {pairs}), ratio {statistics.median(ratios):.2f} (median of pairs)"
    )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(KINDS[sys.argv[1]](sys.argv[2]))
    else:
        main(*map(int, sys.argv[1:]))
