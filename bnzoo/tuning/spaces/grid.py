"""The axes of a space together: their grid, and the values of the hyperparameters of a trial."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras_tuner

from bnzoo.tuning.spaces.axes import Axis

# hyperparameters of every trial, even with a single value
_ALWAYS = ("depth", "norm")


class Grid:
    """The axes of a space.

    Args:
        axes: Iterable of `Axis`, depth and norm first.
        learning_rates: Tuple of floats, rising.
    """

    def __init__(self, axes: Iterable[Axis], learning_rates: tuple[float, ...]) -> None:
        self.axes = {axis.name: axis for axis in axes}
        self.learning_rates = learning_rates

    def searched(self) -> list[Axis]:
        """Return the axes that are hyperparameters of a trial."""
        return [axis for axis in self.axes.values() if axis.searched or axis.name in _ALWAYS]

    def labels(self) -> dict[str, tuple[Any, ...]]:
        """Return the labels of each searched axis, the learning rates last."""
        return {**{axis.name: axis.labels for axis in self.searched()}, "learning_rate": self.learning_rates}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield every combination. The learning rate changes fastest, so that equal architectures are consecutive."""
        labels = self.labels()
        for values in itertools.product(*labels.values()):
            yield dict(zip(labels, values, strict=True))

    def architecture(self, hyperparameters: Mapping[str, Any]) -> tuple:
        """Return all hyperparameters except the learning rate, as a key."""
        return tuple((axis.name, hyperparameters[axis.name]) for axis in self.searched())

    def value(self, name: str, hyperparameters: Mapping[str, Any]) -> Any:
        """Return the value of an axis in a trial. If the trial lacks it, it is the first one, as for Keras Tuner."""
        axis = self.axes[name]
        return axis.value(hyperparameters[name]) if name in hyperparameters else axis.values[0]

    def chosen(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value of every axis in a trial."""
        return {name: self.value(name, hyperparameters) for name in self.axes}

    def combinations(self, names: Iterable[str]) -> Iterator[dict[str, Any]]:
        """Yield every combination of the values of some axes."""
        names = list(names)
        for values in itertools.product(*(self.axes[name].values for name in names)):
            yield dict(zip(names, values, strict=True))

    def declare(self, hp: keras_tuner.HyperParameters) -> None:
        """Declare the axes to Keras Tuner, the learning rate as a continuous one."""
        for axis in self.searched():
            axis.declare(hp)
        low, high = self.learning_rates[0], self.learning_rates[-1]
        if low < high:
            hp.Float("learning_rate", low, high, sampling="log")
        else:
            hp.Fixed("learning_rate", low)

    def get_config(self) -> dict[str, Any]:
        """Return the values of each axis, as JSON."""
        depth, norm, *others = self.axes.values()
        return {
            "depths": list(depth.values),
            "learning_rates": list(self.learning_rates),
            "norms": [norm.get_config() for norm in norm.values],
            **{axis.name: axis.plain() for axis in others},
        }
