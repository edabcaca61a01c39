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

- The graph's memory is taken once, whatever the batch. Beyond it the step of DenseNet-121 takes 0.27 of plain; at a
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
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import pandas as pd
import typer
from pandas.core.groupby import SeriesGroupBy

import bnzoo
from bnzoo.files import whole_file

STEPS = 8  # and one before them, which traces


def plain(build: Callable[..., keras.Model], **options: object) -> keras.Model:
    """Keeps what the backward pass reads."""
    return build(**options)


def memory_efficient(build: Callable[..., keras.Model], **options: object) -> keras.Model:
    """Computes the layers of the dense blocks again."""
    return build(memory_efficient=True, **options)


def remat_activations(build: Callable[..., keras.Model], **options: object) -> keras.Model:
    """Computes the activation functions again: the one mode of Keras' scope that TensorFlow runs."""
    with keras.RematScope(mode="activations"):
        return build(**options)


@dataclass(frozen=True)
class Network:
    """A network of the zoo, trained in every kind on images of `edge` by `edge` pixels, `batch` at a time."""

    name: str
    kinds: tuple[Callable[..., keras.Model], ...]
    edge: int = 96
    batch: int = 64


NETWORKS = (
    Network("DenseNet121", (plain, memory_efficient)),
    Network("ResNet50", (plain, remat_activations)),
)
QUICK = (Network("DenseNet121", (plain, memory_efficient), edge=64, batch=16),)


def main(folder: Annotated[Path, typer.Argument()] = Path("runs/memory"), quick: bool = False) -> None:
    """Measures every kind of every network, and prints the table.

    Args:
        folder: Where `memory.csv` is written, a row for every step.
        quick: DenseNet-121 only, on few small images, for two steps: to see it run, not to believe it.
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read by the processes that it starts
    networks, count = (QUICK, 2) if quick else (NETWORKS, STEPS)
    steps = pd.DataFrame(step for network in networks for step in in_turns(network, count))
    print(table(steps).to_string(float_format="{:g}".format))
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "memory.csv") as draft:
        steps.to_csv(draft, index=False)
    print(f"{folder}: memory.csv, {len(steps)} steps")


def in_turns(network: Network, count: int) -> Iterator[dict]:
    """The steps of every kind in a process of its own: 0 traces, all at once, and in those after it they take turns."""
    spawn = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        workers = {kind: stack.enter_context(ProcessPoolExecutor(1, spawn)) for kind in network.kinds}

        def submit(kind: Callable[..., keras.Model]) -> Future:
            return workers[kind].submit(next_step, network, kind)

        def row(kind: Callable[..., keras.Model], step: int, future: Future) -> dict:
            return {"network": network.name, "kind": kind.__name__, "step": step, **future.result()}

        traced = {kind: submit(kind) for kind in network.kinds}
        yield from (row(kind, 0, future) for kind, future in traced.items())
        for step in range(1, count + 1):
            yield from (row(kind, step, submit(kind)) for kind in network.kinds[:: 1 if step % 2 else -1])


def next_step(network: Network, kind: Callable[..., keras.Model]) -> dict[str, float]:
    """Makes the process' next step."""
    return next(training(network, kind))


@functools.cache
def training(network: Network, kind: Callable[..., keras.Model]) -> Iterator[dict[str, float]]:
    """Endless steps on one batch, each with the memory that the process had `before` the first, in MB.

    The first sees one example, and then two: from two sizes TensorFlow traces a graph for all.
    """
    shape = (network.edge, network.edge, 3)
    model = kind(getattr(bnzoo, network.name), input_shape=shape)
    sgd = keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(sgd, "sparse_categorical_crossentropy", jit_compile=False)
    sgd.build(model.trainable_variables)
    x = np.random.default_rng(0).random((network.batch, *shape), np.float32)
    y = np.arange(network.batch) % model.output_shape[-1]
    before = resident("VmRSS")
    yield {"before": before, **measured(lambda: [model.train_on_batch(x[:n], y[:n]) for n in (1, 2)])}
    while True:
        yield {"before": before, **measured(lambda: model.train_on_batch(x, y))}


def measured(step: Callable[[], object]) -> dict[str, float]:
    """The peak of the process' memory during a call, in MB, its seconds, and the seconds of all cores."""
    with contextlib.suppress(OSError):  # where the mark cannot be set back, the peak so far is in it too
        Path("/proc/self/clear_refs").write_text("5")
    start, cpu_start = time.perf_counter(), time.process_time()
    step()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return {"peak": resident("VmHWM"), "seconds": seconds, "cpu_seconds": cpu_seconds}


def resident(field: str) -> float:
    """A field of the process' status, in MB: `VmRSS`, its memory, or `VmHWM`, the peak (`ru_maxrss` is inherited)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
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
