"""Runs the kinds of a network in turns, each in a separate process, and records every time."""

import importlib.util
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack

from recipes.benchmarks import turns
from recipes.benchmarks.training.contestants import NETWORKS

WARM_UP = 1  # steps after the first that are not timed
# On AMD processors the fast convolutions are off by default.
ENVIRONMENT = {"TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1")}


class Worker(turns.Worker):
    """A worker process for one kind of a network."""

    def __init__(self, network: str, kind: str, precision: str) -> None:
        module = "recipes.benchmarks.training.worker"
        super().__init__(kind, module, network, kind, precision, environment=ENVIRONMENT)


def race(network: str, precision: str, rounds: int, pairs: int, seconds: float) -> Iterator[dict]:
    """Yield every time of a network in a precision.

    Args:
        network: String, one of `NETWORKS`.
        precision: String, `float32` or `bfloat16`.
        rounds: Integer, the number of rounds. Each round starts new processes.
        pairs: Integer, the steps of each kind in a round, in turns.
        seconds: Float. A round that takes longer ends after 3 steps of each kind.

    Yields:
        Dicts of `network`, `precision`, `kind`, `round`, `what` (`build`, `first_step`, `optimizer_first`, `step`,
        `matrix_rate`, `macs`), `pair`, `value` in seconds (or operations per second, multiplications).
    """
    for number in range(rounds):
        for record in _round(network, precision, pairs, seconds, reverse=number % 2 == 1):
            yield {"network": network, "precision": precision, "round": number, **record}


def kinds_here(network: str) -> list[str]:
    """Return the kinds of a network that this machine can run."""
    installed = all(importlib.util.find_spec(name) for name in ("torch", "torchvision"))
    return [kind for kind in NETWORKS[network].kinds if installed or kind != "PyTorch"]


def _round(network: str, precision: str, pairs: int, limit: float, reverse: bool) -> Iterator[dict]:
    def ask(worker: Worker, what: str, pair: int = 0) -> dict:
        return {"kind": worker.kind, "what": what, "pair": pair, "value": worker.ask(what)}

    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(network, kind, precision)) for kind in kinds_here(network)]
        ours = workers[0]
        for worker in workers:  # all import their libraries at the same time
            worker.ask("ready")
        for worker in workers[:: -1 if reverse else 1]:
            yield ask(worker, "build")
            yield ask(worker, "first_step")
        yield ask(ours, "macs")
        for worker in workers * WARM_UP:
            worker.ask("step")
        begin = time.perf_counter()
        for pair in range(pairs):
            for worker in workers[:: -1 if (pair % 2) != reverse else 1]:
                yield ask(worker, "step", pair)
            yield ask(ours, "matrix_rate", pair)
            if pair >= 2 and time.perf_counter() - begin > limit:
                break
        for worker in workers:
            if worker.kind in ("bnzoo", "Keras"):
                yield ask(worker, "optimizer_first")
