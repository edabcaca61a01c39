"""Comparison of the outputs with the moving statistics and with those of the data.

Small differences in each norm add up over a network.
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from bnzoo.layers.moments import at_least_float32
from bnzoo.tools.activation_layers import is_made_by
from bnzoo.tools.batches import Batch
from bnzoo.tools.graph import Graph
from bnzoo.tools.health_check.gradients import guess_loss
from bnzoo.tools.health_check.placed_norms import PlacedNorm
from bnzoo.tools.passes import Passes
from bnzoo.tools.population import Population

# the examples, or batches, that are compared
_EXAMPLES, _BATCHES = 1024, 16


class Disagreement(NamedTuple):
    """The difference between an output with the moving statistics and with the statistics of the data.

    Attributes:
        share: Float. For a classifier, the share of examples with another class; else the mean square of the difference
            over the variance of the output.
        examples: Integer, the number of examples.
        classes: Boolean, whether the output is that of a classifier.
    """

    share: float
    examples: int
    classes: bool


class OutputComparison(Passes):
    """Passes of batches through a model at inference, with its moving statistics and with those of the data.

    Frozen norms keep their statistics.

    Args:
        model: A built `keras.Model`.
        graph: Its graph.
        placed: The norms.
    """

    def __init__(self, model: keras.Model, graph: Graph, placed: list[PlacedNorm]) -> None:
        super().__init__(model, untraced=2 * _BATCHES)
        self._graph = graph
        self._placed = [norm for norm in placed if norm.has_moving_statistics and norm.norm.trainable]
        self._populations: dict[str, Population] = {}

    def disagreements(self, batches: list[Batch], populations: dict[str, Population]) -> list[Disagreement]:
        """Return the disagreement of each output.

        Args:
            batches: The first batches of the data.
            populations: By the name of each batch norm, the statistics of its inputs.
        """
        # never compiled, since a compiled pass would keep the statistics of an earlier call
        self._untraced, self._populations = float("inf"), populations
        if not self._placed or not batches:
            return []
        examples = sum(map(examples_of, batches))
        results = [self(batch.x) for batch in batches]
        sides = [[np.concatenate(parts) for parts in zip(*(pair[i] for pair in results), strict=True)] for i in (0, 1)]
        return [
            Disagreement(_other_classes(*pair) if classes else _distance(*pair), examples, classes)
            for *pair, classes in zip(*sides, self._are_classes(batches[0].y), strict=True)
        ]

    def forward(self, x: Any) -> tuple[list, list]:
        """Return the outputs with the moving statistics, and with those of the data."""
        usual = self._outputs(x)
        for placed in self._placed:
            population = self._populations[placed.name]
            placed.norm.moving_mean.assign(population.mean)
            placed.norm.moving_variance.assign(population.variance)
        return usual, self._outputs(x)

    def _outputs(self, x: Any) -> list:
        outputs = keras.tree.flatten(self.model(x, training=False))
        return [keras.ops.convert_to_numpy(at_least_float32(output)).astype(np.float64) for output in outputs]

    def _are_classes(self, y: Any) -> list[bool]:
        if len(self._graph.outputs) == 1 and y is not None and guess_loss(self._graph, y) is not None:
            return [True]
        return [is_made_by(keras.activations.softmax, edge) for edge in self._graph.outputs]


def first_batches(batch: Batch, batches: list[Batch]) -> None:
    """Add a batch to a list, as long as the list is short."""
    if len(batches) < _BATCHES and sum(map(examples_of, batches)) < _EXAMPLES:
        batches.append(batch)


def examples_of(batch: Batch) -> int:
    """Return the number of examples in a batch."""
    return int(np.shape(keras.tree.flatten(batch.x)[0])[0])


def _other_classes(usual: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean(usual.argmax(-1) != other.argmax(-1)))


def _distance(usual: np.ndarray, other: np.ndarray) -> float:
    spread = np.mean(np.square(other - other.mean(0)))
    return float(np.mean(np.square(usual - other)) / max(spread, np.finfo(np.float32).tiny))
