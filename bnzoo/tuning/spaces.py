"""Search spaces: what a study varies, as a `keras_tuner.HyperModel`."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from bnzoo import norms as bn_norms
from bnzoo import placements
from bnzoo.data import Dataset
from bnzoo.errors import proper_fraction
from bnzoo.models import MLP, ResNetCifar
from bnzoo.models.ends import new_input
from bnzoo.tools import no_decay_variables

POINTS = 7


class Space(keras_tuner.HyperModel, ABC):
    """Learning rate x depth x norm of one family.

    A space is a `keras_tuner.HyperModel`: `keras_tuner.RandomSearch(space, objective="val_accuracy")` samples it,
    with the learning rate on a continuous log scale. A `bnzoo.tuning.Study` walks its grid.

    Models end in logits, are trained with SGD and momentum, and scale their input themselves. The learning rate falls
    from its value to 0 over the epochs, on half a cosine (Loshchilov & Hutter 2017, eq. 5, without restarts).

    Args:
        depths: Sequence of integers.
        learning_rates: Tuple `(low, high)` or `(low, high, points)`, the ends of a log grid of 7 or `points`.
        norms: Sequence of norms: names, dicts, `bnzoo.Norm`, or `None` for none.
        placement: String, where the norm stands.
        activation: String, any activation of Keras.
        momentum: Float, of SGD.
        weight_decay: Float, of SGD, as a share of the learning rate; `bnzoo.no_decay_variables` are left out of it.
        input_shape: Tuple without the batch dimension. A study takes it from its data.
        classes: Integer. A study takes it from its data.
        scale: Tuple of mean and variance of the inputs, as `bnzoo.data.Dataset.scale`; `None` leaves them as they
            are. A study takes it from its data.
        **options: Further arguments of the family's builder, `width=64` for instance; they must be JSON-able.

    Raises:
        ValueError: If a word is unknown or a range is not possible.
    """

    family: str
    builder: Callable[..., keras.Model]

    def __init__(
        self,
        depths: Sequence[int] | None = None,
        learning_rates: Sequence[float] = (1e-3, 3.0, POINTS),
        norms: Sequence[Any] = ("batch", None),
        placement: str = "pre",
        *,
        activation: str = "relu",
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        input_shape: Sequence[int] | None = None,
        classes: int | None = None,
        scale: tuple[Any, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name=self.family)
        self.depths = _distinct("depths", self.default_depths if depths is None else depths)
        self.learning_rates = _log_grid(learning_rates)
        self.norms = _distinct("norms", [bn_norms.get(norm) for norm in _sequence("norms", norms)])
        placements.get(placement, self.family)
        self.placement = placement
        keras.activations.get(activation)
        self.activation = activation
        self.momentum = proper_fraction("momentum", momentum)
        self.weight_decay = proper_fraction("weight_decay", weight_decay)
        self.input_shape: Any = None if input_shape is None else tuple(input_shape)
        self.classes: Any = classes
        self.scale = scale
        self.options = options
        for depth in self.depths:
            self.check_depth(depth)

    @property
    @abstractmethod
    def default_depths(self) -> tuple[int, ...]:
        """The depths that are searched unless others are given."""

    @abstractmethod
    def check_depth(self, depth: int) -> None:
        """Raises `ValueError` if the family has no network of this depth."""

    def model(self, depth: int, norm: bn_norms.Norm, input_tensor: Any) -> keras.Model:
        """The network, not compiled, ending in logits."""
        return self.builder(
            depth,
            input_tensor=input_tensor,
            classes=self.classes,
            classifier_activation=None,
            norm=norm,
            placement=self.placement,
            activation=self.activation,
            **self.options,
        )

    def check(self) -> None:
        """Raises `ValueError` if a norm or an option cannot be used on the data."""
        for norm in self.norms:
            self.model(min(self.depths), norm, new_input(self.input_shape))

    def for_data(self, data: Dataset) -> "Space":
        """A copy with the shape, the classes and the scale of the data.

        Raises:
            ValueError: If the space was made for another shape, number of classes or scale.
        """
        space = copy.copy(self)
        # Keras Tuner puts a wrapper of `build`, bound to its instance, on every instance
        del space.build
        keras_tuner.HyperModel.__init__(space, self.name, self.tunable)
        found = {"input_shape": data.input_shape, "classes": data.classes, "scale": data.scale}
        for name, value in found.items():
            own = getattr(self, name)
            if own is not None and own != value:
                raise ValueError(f"The space was made for {name}={own}, the data {data.name} has {value}")
            setattr(space, name, value)
        return space

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every combination, architecture by architecture."""
        for depth in self.depths:
            for norm in self.norms:
                for learning_rate in self.learning_rates:
                    yield {"depth": depth, "norm": norm.label, "learning_rate": learning_rate}

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Names the axes of the space to Keras Tuner."""
        hp.Choice("depth", list(self.depths), ordered=True)
        hp.Choice("norm", [norm.label for norm in self.norms])
        low, high = self.learning_rates[0], self.learning_rates[-1]
        if low < high:
            hp.Float("learning_rate", low, high, sampling="log")
        else:
            hp.Fixed("learning_rate", low)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """A compiled model, as `keras_tuner.HyperModel` asks for it."""
        if self.input_shape is None or self.classes is None:
            raise ValueError(
                f"`{type(self).__name__}` does not know the data yet: pass `input_shape=` and `classes=`, or use the "
                "space in a `bnzoo.tuning.Study`"
            )
        self.declare_hyperparameters(hp)
        norm = next(norm for norm in self.norms if norm.label == hp.get("norm"))
        x = new_input(self.input_shape)
        if self.scale is not None:
            x = keras.layers.Normalization(mean=self.scale[0], variance=self.scale[1], name="scale")(x)
        model = self.model(hp.get("depth"), norm, x)
        optimizer = keras.optimizers.SGD(
            hp.get("learning_rate"), momentum=self.momentum, weight_decay=self.weight_decay or None
        )
        optimizer.exclude_from_weight_decay(var_list=no_decay_variables(model))
        model.compile(
            optimizer=optimizer,
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
            jit_compile=False,  # on CPU these small networks train slower under XLA, and compile much longer
        )
        return model

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        epochs: int = 1,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Trains a model, as `keras_tuner.HyperModel` asks for it. Other arguments are those of `keras.Model.fit`."""
        highest = hp.get("learning_rate")

        def half_cosine(epoch: int, _: float) -> float:
            return highest * (1 + math.cos(math.pi * epoch / epochs)) / 2

        schedule = keras.callbacks.LearningRateScheduler(half_cosine)
        return model.fit(*args, epochs=epochs, callbacks=[*(callbacks or ()), schedule], **kwargs)

    def get_config(self) -> dict[str, Any]:
        """All that decides what is searched, as JSON."""
        return {
            "family": self.family,
            "depths": list(self.depths),
            "learning_rates": list(self.learning_rates),
            "norms": [norm.get_config() for norm in self.norms],
            "placement": self.placement,
            "activation": self.activation,
            "momentum": self.momentum,
            "weight_decay": self.weight_decay,
            "schedule": "half_cosine",  # so that a study begun without it is not gone on with
            **self.options,
        }


class ResNetSpace(Space):
    """Residual networks for small images, of depth 6n+2. See `Space` for the arguments.

    Examples:
    >>> space = bnzoo.tuning.ResNetSpace(depths=(8, 14, 20), learning_rates=(1e-3, 3.0), norms=("batch", None))
    """

    family = "resnet"
    builder = staticmethod(ResNetCifar)
    default_depths = (8, 14, 20)

    def check_depth(self, depth: int) -> None:
        """The depth must be 6n+2."""
        if not isinstance(depth, int) or depth < 8 or depth % 6 != 2:
            raise ValueError(f"`depths` of ResNets must be 6n+2 (8, 14, 20, 26, 32, ...). Received: {depth!r}")

    def for_data(self, data: Dataset) -> Space:
        """A copy for the data, which must be images."""
        if len(data.input_shape) != 3:
            raise ValueError(
                f"A ResNet needs images (height, width, channels); {data.name} has examples of shape "
                f"{data.input_shape}. Use the MLP"
            )
        return super().for_data(data)


class MLPSpace(Space):
    """Multilayer perceptrons, depth being the number of hidden layers. See `Space` for the arguments.

    Examples:
    >>> space = bnzoo.tuning.MLPSpace(depths=(2, 4, 8), norms=("batch", "layer", None), width=64, residual=False)
    """

    family = "mlp"
    builder = staticmethod(MLP)
    default_depths = (2, 4, 8)

    def check_depth(self, depth: int) -> None:
        """The depth must be positive, and odd if residual."""
        if not isinstance(depth, int) or depth < 1:
            raise ValueError(f"`depths` of MLPs must be positive integers. Received: {depth!r}")
        if self.options.get("residual") and depth % 2 == 0:
            raise ValueError(f"`depths` of residual MLPs must be odd: one layer, then blocks of two. Received: {depth}")


def _sequence(name: str, values: Any) -> Sequence:
    if isinstance(values, str) or not isinstance(values, Sequence) or not len(values):
        raise ValueError(f"`{name}` must be a sequence of at least one value. Received: {name}={values!r}")
    return values


def _distinct(name: str, values: Any) -> tuple:
    values = tuple(_sequence(name, values))
    if len(set(values)) < len(values):
        raise ValueError(f"`{name}` must not hold a value twice. Received: {name}={values!r}")
    return values


def _log_grid(learning_rates: Any) -> tuple[float, ...]:
    """The grid for `(low, high)` or `(low, high, points)`, in four significant digits."""
    numbers = isinstance(learning_rates, Sequence) and all(
        isinstance(value, int | float) and math.isfinite(value) for value in learning_rates
    )
    if numbers and len(learning_rates) in (2, 3):
        low, high, points = (*learning_rates, POINTS)[:3]
        if 0 < low <= high and points == int(points) and points >= 1 and (low < high) == (points > 1):
            return tuple(float(f"{rate:.4g}") for rate in np.geomspace(low, high, int(points)))
    raise ValueError(
        "`learning_rates` must be two positive numbers, the lower first, and the number of points between and with "
        f"them if it is not {POINTS}: (0.001, 3.0) or (0.001, 3.0, {POINTS}). Received: {learning_rates!r}"
    )
