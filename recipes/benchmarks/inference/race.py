"""Runs the formats of a network in turns, each in a separate process, and records every time."""

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bnzoo.export.latency import latencies
from recipes.benchmarks.inference.artefacts import INPUT, SIZES, Made, images, make
from recipes.benchmarks.training.contestants import NETWORKS
from recipes.benchmarks.training.race import kinds_here
from recipes.benchmarks.turns import Worker

PYTORCH = "PyTorch"
WORKER = "recipes.benchmarks.inference.worker"

Start = Callable[[], Worker]


def race(network: str, batches: Sequence[int], loads: int, seconds: float) -> Iterator[dict]:
    """Yield every time of a network, and the size and difference of its artefacts.

    Args:
        network: String, one of `artefacts.SIZES`.
        batches: Integers, the batch sizes.
        loads: Integer, the number of times that each artefact is loaded, in a new process.
        seconds: Float, the time limit of a batch size. No round starts after it.

    Yields:
        Dicts of `network`, `kind`, `what` (`size` in bytes, `difference`, `load`, `first` answer, `call`), `batch`,
        `round`, `value` in seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        artefacts = list(make(network, Path(folder)))
        for made in artefacts:
            yield _row(network, made.kind, "size", made.size)
            yield _row(network, made.kind, "difference", made.difference)
        inputs = Path(folder, "inputs.npz")
        np.savez(inputs, **{INPUT: images(max(batches), SIZES[network][0])})
        starts = _starts(network, artefacts, inputs)
        for number in range(loads):
            yield from _load_all(network, starts, number)
        yield from _answer(network, starts, batches, seconds)


def _starts(network: str, artefacts: Sequence[Made], inputs: Path) -> dict[str, Start]:
    arguments = {made.kind: (made.format, str(made.folder)) for made in artefacts}
    if PYTORCH in kinds_here(network):
        torchvision = NETWORKS[network].torchvision
        assert torchvision is not None
        arguments[PYTORCH] = ("torch", torchvision[0])

    def starter(kind: str) -> Start:
        return lambda: Worker(kind, WORKER, *arguments[kind], str(inputs))

    return {kind: starter(kind) for kind in arguments}


def _load_all(network: str, starts: dict[str, Start], number: int) -> Iterator[dict]:
    """Load every artefact in a process of its own, one process at a time."""
    for kind in random.Random(number).sample(list(starts), len(starts)):
        with starts[kind]() as worker:
            worker.ask("ready")  # waits until the runtime is imported
            opened, first = worker.ask("open"), worker.ask("call 1")
        if kind != PYTORCH:  # PyTorch builds its network and loads no file
            yield _row(network, kind, "load", opened, number=number)
            yield _row(network, kind, "first", first, number=number)


def _answer(network: str, starts: dict[str, Start], batches: Sequence[int], seconds: float) -> Iterator[dict]:
    with ExitStack() as stack:
        workers = {kind: stack.enter_context(start()) for kind, start in starts.items()}
        for worker in workers.values():
            worker.ask("open")
        for batch in batches:
            times = latencies(_calls(workers, batch), seconds, measure=lambda call: call())
            for kind, values in times.items():
                for number, value in enumerate(values):
                    yield _row(network, kind, "call", value, batch, number)


def _calls(workers: dict[str, Worker], batch: int) -> dict[str, Callable[[], float]]:
    """Return functions that run a batch and return its seconds, without the communication with the worker."""

    def caller(worker: Worker) -> Callable[[], float]:
        return lambda: worker.ask(f"call {batch}")

    return {kind: caller(worker) for kind, worker in workers.items()}


def _row(network: str, kind: str, what: str, value: float, batch: int = 0, number: int = 0) -> dict:
    return {
        "network": network,
        "kind": kind,
        "what": what,
        "batch": batch,
        "round": number,
        "value": float(value),
    }
