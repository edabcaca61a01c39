"""Measure memory and time of a training step with recomputed activations.

python -m recipes.benchmarks.memory [FOLDER] [--quick]

A step trains a batch of 64 images of 96 by 96 pixels in a graph without XLA, with SGD and momentum. Each kind has a
separate process, and the kinds alternate. Memory is that of the process, in MB of 10^6 bytes. The memory of the graph
and of the step excludes the memory before the first step. Peaks of 8 steps, median times and paired ratios, on 2 cores:

    network     kind               process  graph   step   ratio     ms   ratio   CPU ms   ratio
    DenseNet121 plain                 3593    492   2655           3188             6068
                memory_efficient      2107    644   1158    0.44   3643    1.14     6929    1.13
    ResNet50    plain                 2725    397   1663           3637             6999
                remat_activations     3326    412   2262    1.36   3780    1.01     7276    1.02

- The graph takes its memory once, independent of the batch size. Without the graph, the step of DenseNet-121 takes 0.24
  of the memory of plain. At batch size 32 the ratio with the graph is 0.61: recomputation makes the graph larger.
- `keras.RematScope` wraps each layer separately, and keeps the tensors between layers. In a TensorFlow graph (Keras
  3.15) every mode except `"activations"` fails at the first layer that is called with a keyword, usually `training`
  (https://github.com/keras-team/keras/issues/21207). The mode `"activations"` keeps the inputs of activations in
  addition to their outputs, which takes more memory. Eagerly, `"full"` runs, but updates batch-norm statistics twice
  per step.
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
EDGE, BATCH = 96, 64  # the height of an image, and the number of images
STEPS = 8  # without the first step, which traces
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def main(folder: Annotated[Path, typer.Argument()] = Path("runs/memory"), quick: bool = False) -> None:
    """Measure every kind of every network, and print the table.

    Args:
        folder: The folder for `memory.csv`, with a row for every step.
        quick: Measure two steps of DenseNet-121 on few small images. The results are not meaningful.
    """
    if not _STATUS.exists():
        raise typer.BadParameter(f"this benchmark needs Linux: it reads the memory of a process from {_STATUS}")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # read by the worker processes
    networks, edge, batch, count = (("DenseNet121",), 64, 16, 2) if quick else (KINDS, EDGE, BATCH, STEPS)
    steps = pd.DataFrame(step for network in networks for step in in_turns(network, edge, batch, count))
    print(table(steps).to_string(float_format="{:g}".format))
    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "memory.csv") as draft:
        steps.to_csv(draft, index=False)
    print(f"{folder}: memory.csv, {len(steps)} steps")


def in_turns(network: str, edge: int, batch: int, count: int) -> Iterator[dict]:
    """Yield the steps of every kind. First steps run at the same time in separate processes, the others in turns."""
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
    """Run the next step of this process, which serves one case."""
    return next(_training_of(*case))


@functools.cache
def _training_of(network: str, kind: str, edge: int, batch: int) -> Iterator[dict[str, float]]:
    options = {"memory_efficient": True} if kind == "memory_efficient" else {}
    scope = keras.RematScope(mode="activations") if kind == "remat_activations" else contextlib.nullcontext()
    with scope:
        return training(getattr(bnzoo, network)(input_shape=(edge, edge, 3), **options), batch)


def training(model: keras.Model, batch: int) -> Iterator[dict[str, float]]:
    """Yield the measurements of training steps on one batch, without end.

    Each has the memory of the process before the first step as `before`, in MB. The first step trains on one example
    and then on two: after two sizes TensorFlow traces a graph for any batch size.
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
    """Return the peak memory of the process during a call in MB, its seconds, and the CPU seconds of all cores."""
    with contextlib.suppress(OSError):  # if the peak cannot be reset, it includes earlier calls
        _CLEAR.write_text("5")
    start, cpu_start = time.perf_counter(), time.process_time()
    step()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return {"peak": resident("VmHWM"), "seconds": seconds, "cpu_seconds": cpu_seconds}


def resident(field: str) -> float:
    """Return a field of `/proc/self/status` in MB: `VmRSS`, the memory, or `VmHWM`, its peak.

    `resource.getrusage` is no alternative: a child process inherits its `ru_maxrss`.
    """
    status = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(status[field].split()[0]) * 1024 / 1e6


def table(steps: pd.DataFrame) -> pd.DataFrame:
    """Return peaks and median times of each kind, with their ratios to the plain kind. Time ratios are paired."""
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
    """Divide each value by that of the plain kind of the same network, and of the same step if there are steps."""
    same = [level for level in values.index.names if level != "kind"]
    plain = values.where(values.index.get_level_values("kind") == "plain")
    return values / plain.groupby(same).transform("max")


if __name__ == "__main__":
    typer.run(main)
