"""All moving statistics judged together, by what they do to the outputs: small differences in each norm add up."""

from typing import Any, NamedTuple

import keras
import numpy as np

from bnzoo.layers.moments import at_least_float32
from bnzoo.tools.batches import Batch
from bnzoo.tools.graph import Edge, Graph
from bnzoo.tools.health_check.gradients import guess_loss
from bnzoo.tools.health_check.places import Place
from bnzoo.tools.passes import Passes
from bnzoo.tools.population import Population

# as many examples, or batches, are passed once more
_EXAMPLES, _BATCHES = 1024, 16


class Disagreement(NamedTuple):
    """The distance of an output with the moving statistics from that with the statistics of the data.

    Attributes:
        share: Float: of classes the share of those that are others, else the mean square of the difference over the
            variance of the output.
        examples: Integer, how many examples were passed.
        classes: Boolean, whether the output tells classes.
    """

    share: float
    examples: int
    classes: bool


class Together(Passes):
    """Passes batches through a model at inference, with its moving statistics and with those of the data.

    Norms that are frozen keep theirs.

    Args:
        model: A built `keras.Model`.
        graph: Its graph.
        places: The norms.
    """

    def __init__(self, model: keras.Model, graph: Graph, places: list[Place]) -> None:
        super().__init__(model, untraced=2 * _BATCHES)
        self._graph = graph
        self._places = [place for place in places if place.of_batch and place.norm.trainable]
        self._populations: dict[str, Population] = {}

    def disagreements(self, batches: list[Batch], populations: dict[str, Population]) -> list[Disagreement]:
        """Return what is found of each output.

        Args:
            batches: The first batches of the data.
            populations: By the name of each batch norm, the statistics of what it sees.
        """
        # never compiled: a compiled pass would keep the statistics of an earlier call
        self._untraced, self._populations = float("inf"), populations
        if not self._places or not batches:
            return []
        examples = sum(map(examples_of, batches))
        seen = [self(batch.x) for batch in batches]
        sides = [[np.concatenate(parts) for parts in zip(*(pair[i] for pair in seen), strict=True)] for i in (0, 1)]
        return [
            Disagreement(_other_classes(*pair) if classes else _distance(*pair), examples, classes)
            for *pair, classes in zip(*sides, self._tell_classes(batches[0].y), strict=True)
        ]

    def forward(self, x: Any) -> tuple[list, list]:
        """Return the outputs with the moving statistics, and with those of the data."""
        usual = self._outputs(x)
        for place in self._places:
            population = self._populations[place.name]
            place.norm.moving_mean.assign(population.mean)
            place.norm.moving_variance.assign(population.variance)
        return usual, self._outputs(x)

    def _outputs(self, x: Any) -> list:
        outputs = keras.tree.flatten(self.model(x, training=False))
        return [keras.ops.convert_to_numpy(at_least_float32(output)).astype(np.float64) for output in outputs]

    def _tell_classes(self, y: Any) -> list[bool]:
        if len(self._graph.outputs) == 1 and y is not None and guess_loss(self._graph, y) is not None:
            return [True]
        return [_ends_in_softmax(edge) for edge in self._graph.outputs]


def first_batches(batch: Batch, kept: list[Batch]) -> None:
    """Add a batch to those that are kept, as long as they are few."""
    if len(kept) < _BATCHES and sum(map(examples_of, kept)) < _EXAMPLES:
        kept.append(batch)


def examples_of(batch: Batch) -> int:
    """Return how many examples a batch has."""
    return int(np.shape(keras.tree.flatten(batch.x)[0])[0])


def _ends_in_softmax(edge: Edge) -> bool:
    layer = edge.producer.layer if edge.producer else None
    return isinstance(layer, keras.layers.Softmax) or getattr(layer, "activation", None) is keras.activations.softmax


def _other_classes(usual: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean(usual.argmax(-1) != other.argmax(-1)))


def _distance(usual: np.ndarray, other: np.ndarray) -> float:
    spread = np.mean(np.square(other - other.mean(0)))
    return float(np.mean(np.square(usual - other)) / max(spread, np.finfo(np.float32).tiny))
