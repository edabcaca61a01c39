"""What memory does a training step take where activations are computed again instead of kept, and what time?

python -m recipes.benchmarks.memory [FOLDER] [--quick]

A step trains a batch of 64 images of 96 by 96 pixels in a graph without XLA, with SGD and momentum. Each kind has a
process of its own, and the kinds take turns. All memory is of the process (MB of 10^6 bytes); that of the graph and of
the step are above what it had before the first step. Peaks of 8 steps, median times and ratios in pairs, 2 cores:

    network     kind               process  graph   step   ratio     ms   ratio   CPU ms   ratio
    DenseNet121 plain                 3593    492   2655           3188             6068
                memory_efficient      2107    644   1158    0.44   3643    1.14     6929    1.13
    ResNet50    plain                 2725    397   1663           3637             6999
                remat_activations     3326    412   2262    1.36   3780    1.01     7276    1.02

- The graph's memory is taken once, whatever the batch. Beyond it the step of DenseNet-121 takes 0.24 of plain; at a
  batch of 32 the ratio with the graph is 0.61, for the graph is larger where layers are computed again.
- `keras.RematScope` wraps each layer by itself, so what is between layers stays. In a graph of TensorFlow (Keras 3.15)
  every mode but `"activations"` fails at the first layer that is called with a keyword, `training` as a rule
  (https://github.com/keras-team/keras/issues/21207); that mode keeps the inputs of activations beside their outputs,
  hence more memory. Eagerly `"full"` runs, and moves the statistics of batch norm twice a step.
"""

import contextlib
import functools
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import pandas as pd
import typer
from pandas.core.groupby import SeriesGroupBy

import bnzoo
from bnzoo.files import whole_file

KINDS = {"DenseNet121": ("plain", "memory_efficient"), "ResNet50": ("plain", "remat_activations")}
EDGE, BATCH = 96, 64  # of the images, and of these
STEPS = 8  # after the first, which traces
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main(folder: Annotated[Path, typer.Argument()] = Path("runs/memory"), quick: bool = False) -> None:
    """Measures every kind of every network, and prints the table.

    Args:
        folder: Where `memory.csv` is written, a row for every step.
        quick: DenseNet-121 only, on few small images, for two steps: to see it run, not to believe it.
    """
    if not _STATUS.exists():
        raise typer.BadParameter(f"this benchmark needs Linux: it reads the memory of a process from {_STATUS}")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read by the processes that it starts
    networks, edge, batch, count = (("DenseNet121",), 64, 16, 2) if quick else (KINDS, EDGE, BATCH, STEPS)
    steps = pd.DataFrame(step for network in networks for step in in_turns(network, edge, batch, count))
    print(table(steps).to_string(float_format="{:g}".format))
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "memory.csv") as draft:
        steps.to_csv(draft, index=False)
    print(f"{folder}: memory.csv, {len(steps)} steps")


def in_turns(network: str, edge: int, batch: int, count: int) -> Iterator[dict]:
    """Steps of every kind in a process of its own: all make the first at once, and after it they take turns."""
    kinds, spawn = KINDS[network], multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        workers = {kind: stack.enter_context(ProcessPoolExecutor(1, spawn)) for kind in kinds}

        def start(kind: str) -> Future:
            return workers[kind].submit(next_step, network, kind, edge, batch)

        for kind, tracing in [(kind, start(kind)) for kind in kinds]:
            yield {"network": network, "kind": kind, "step": 0, **tracing.result()}
        for step in range(1, count + 1):
            for kind in kinds[:: 1 if step % 2 else -1]:
                yield {"network": network, "kind": kind, "step": step, **start(kind).result()}


def next_step(*case: Any) -> dict[str, float]:
    """Makes the next step of the process, which serves one case."""
    return next(_training_of(*case))


@functools.cache
def _training_of(network: str, kind: str, edge: int, batch: int) -> Iterator[dict[str, float]]:
    options = {"memory_efficient": True} if kind == "memory_efficient" else {}
    scope = keras.RematScope(mode="activations") if kind == "remat_activations" else contextlib.nullcontext()
    with scope:
        return training(getattr(bnzoo, network)(input_shape=(edge, edge, 3), **options), batch)


def training(model: keras.Model, batch: int) -> Iterator[dict[str, float]]:
    """Endless steps on one batch, each with the memory that the process had `before` the first, in MB.

    The first sees one example, and then two: from two sizes TensorFlow traces a graph for all.
    """
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(sgd, "sparse_categorical_crossentropy", jit_compile=False)
    sgd.build(model.trainable_variables)
    x = np.random.default_rng(0).random((batch, *model.input_shape[1:]), np.float32)
    y = np.arange(batch) % model.output_shape[-1]
    before = resident("VmRSS")
    yield {"before": before, **measured(lambda: [model.train_on_batch(x[:n], y[:n]) for n in (1, 2)])}
    while True:
        yield {"before": before, **measured(lambda: model.train_on_batch(x, y))}


def measured(step: Callable[[], object]) -> dict[str, float]:
    """The peak of the process' memory during a call, in MB, its seconds, and the seconds of all cores."""
    with contextlib.suppress(OSError):  # where the mark cannot be set back, the peak so far is in it too
        _CLEAR.write_text("5")
    start, cpu_start = time.perf_counter(), time.process_time()
    step()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return {"peak": resident("VmHWM"), "seconds": seconds, "cpu_seconds": cpu_seconds}


def resident(field: str) -> float:
    """A field of the process' status, in MB: `VmRSS`, its memory, or `VmHWM`, the peak (`ru_maxrss` is inherited)."""
    status = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(status[field].split()[0]) * 1024 / 1e6


def table(steps: pd.DataFrame) -> pd.DataFrame:
    """For each kind the peaks and the median times, with their ratios to the plain kind's: those of times in pairs."""
    steps = steps.set_index(["network", "kind", "step"])
    steps["above"] = steps["peak"] - steps["before"]
    first = steps.index.get_level_values("step") == 0

    def by_kind(values: pd.Series) -> SeriesGroupBy:
        return values.groupby(["network", "kind"], sort=False)

    columns = {
        "process MB": by_kind(steps["peak"]).max().round(),
        "graph MB": by_kind(steps["above"][first]).max().round(),
        "step MB": (peak := by_kind(steps["above"][~first]).max()).round(),
        "step of plain": of_plain(peak).round(2),
    }
    for name, field in {"ms": "seconds", "CPU ms": "cpu_seconds"}.items():
        columns[name] = by_kind(1000 * steps[field][~first]).median().round()
        columns[f"{name} of plain"] = by_kind(of_plain(steps[field][~first])).median().round(2)
    return pd.DataFrame(columns)


def of_plain(values: pd.Series) -> pd.Series:
    """Each value over the plain kind's of the same network, and of the same step where there are steps."""
    same = [level for level in values.index.names if level != "kind"]
    plain = values.where(values.index.get_level_values("kind") == "plain")
    return values / plain.groupby(same).transform("max")


if __name__ == "__main__":
    typer.run(main)
