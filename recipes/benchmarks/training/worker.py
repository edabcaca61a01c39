"""The worker process of the training benchmark."""

import functools
import importlib
import sys
import time

from recipes.benchmarks.training.contestants import NETWORKS, Network, contestant
from recipes.benchmarks.turns import seconds, serve

MATRIX = 2048


def main(name: str, kind: str, precision: str) -> None:
    """Serve commands until the input ends.

    Args:
        name: String, one of `NETWORKS`.
        kind: String, one of `contestants.KINDS`.
        precision: String, `float32` or `bfloat16`.
    """
    serve(lambda: _Worker(NETWORKS[name], kind, precision))


class _Worker:
    def __init__(self, network: Network, kind: str, precision: str) -> None:
        importlib.import_module("torch" if kind == "PyTorch" else "bnzoo")
        self.make = functools.partial(contestant, network, kind, precision)

    def ready(self) -> bool:
        return True

    def build(self) -> float:
        start = time.perf_counter()
        self.runner = self.make()
        return time.perf_counter() - start

    def macs(self) -> int:
        return self.runner.macs()

    def step(self) -> float:
        return seconds(self.runner.step)

    first_step = step

    def optimizer_first(self) -> float:
        other = self.make()
        return seconds(lambda: (other.build_optimizer(), other.step()))

    def matrix_rate(self) -> float:
        return 2 * MATRIX**3 / seconds(lambda: self.runner.matrix_rate(MATRIX))


if __name__ == "__main__":
    main(*sys.argv[1:])
