"""The space of a search: learning rate, depth and norm of one family, and other arguments with several values."""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import keras
import keras_tuner

from bnzoo.blocks import block_builder
from bnzoo.data import Dataset
from bnzoo.errors import is_finite, number, positive_integers
from bnzoo.models.ends import new_input
from bnzoo.models.family import Family
from bnzoo.norms import Norm
from bnzoo.tuning.spaces import bounds, words
from bnzoo.tuning.spaces.axes import Axis, distinct, log_grid
from bnzoo.tuning.spaces.grid import Grid
from bnzoo.tuning.spaces.optimizers import Optimizer
from bnzoo.tuning.spaces.tasks import Task, task_of

# the axes that the network does not know
_TRAINING = ("weight_decay", "batch_size")


class Space(keras_tuner.HyperModel):
    """Learning rate x depth x norm of one family, and every other argument that is given several values.

    A space is a `keras_tuner.HyperModel`: `keras_tuner.RandomSearch(space, objective="val_accuracy")` samples it,
    with the learning rate on a continuous log scale. A `bnzoo.tuning.Study` samples it or walks its grid.

    Models scale their input themselves. They end in logits; of a regression in the target's own units, and the loss is
    the squared error as a share of the target's variance. The learning rate falls from its value to 0 over the epochs,
    on half a cosine (Loshchilov & Hutter 2017, eq. 5, without restarts).

    Args:
        depths: Sequence of integers, each at most 2,000.
        learning_rates: Tuple `(low, high)` or `(low, high, points)`, the ends of a log grid of 7 or `points`. By
            default `(1e-3, 3.0)` for SGD and `(1e-4, 0.1)` for AdamW. At most 1,000 points.
        norms: Sequence of norms: names, dicts, `bnzoo.Norm`, or `None` for none.
        placement: String or sequence of strings, where the norm stands.
        activation: String or sequence of strings, any activation of Keras; by default the family's.
        batch_size: Integer or sequence of integers, the examples of a training batch, at least 2.
        optimizer: String, `"sgd"` or `"adamw"`; by default what the family is trained with.
        momentum: Float, of SGD, 0.9 by default.
        weight_decay: Float or sequence of floats, as a share of the learning rate; `bnzoo.no_decay_variables` are left
            out of it. By default 1e-4 for SGD and 0.05 for AdamW.
        input_shape: Tuple without the batch dimension. A study takes it from its data.
        classes: Integer, 0 for a regression. A study takes it from its data.
        scale: Tuple of mean and variance of the inputs, as `bnzoo.data.Dataset.scale`; `None` leaves them as they
            are. A study takes it from its data.
        target_scale: Tuple of mean and variance of the target of a regression. A study takes it from its data.
        **options: Further arguments of the family's builder, `width=64` for instance; they must be JSON-able. Those
            that the family's `searchable_options` names may be a sequence of values. Numbers are at most 1,000,000,
            and the largest network has at most 500,000,000 parameters.

    Raises:
        ValueError: If a word is unknown, a range is not possible, or a norm, a placement and an activation do not go
            together.
    """

    family: ClassVar[Family]
    further_options: ClassVar[tuple[str, ...]] = ()  # options of a subclass that may have several values

    def __init__(
        self,
        depths: Sequence[int] | None = None,
        learning_rates: Sequence[float] | None = None,
        norms: Sequence[Any] | None = None,
        placement: str | Sequence[str] | None = None,
        *,
        activation: str | Sequence[str] | None = None,
        batch_size: int | Sequence[int] = 64,
        optimizer: str | None = None,
        momentum: float | None = None,
        weight_decay: float | Sequence[float] | None = None,
        input_shape: Sequence[int] | None = None,
        classes: int | None = None,
        scale: tuple[Any, Any] | None = None,
        target_scale: tuple[float, float] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name=self.family.name)
        self.input_shape: Any = None if input_shape is None else _sides(input_shape)
        self.classes: Any = classes
        self.scale = scale
        self.target_scale = target_scale
        self.optimizer = Optimizer(_given(optimizer, self.family.default_optimizer), momentum)
        bounds.check_options(options)
        self.options = {**self.family.default_options, **options}
        searchable = (*self.family.searchable_options, *self.further_options)
        usual = self.optimizer.defaults
        axes = [
            Axis.of("depth", distinct("depths", _given(depths, self.family.default_depths))),
            words.norms(_given(norms, self.family.default_norms)),
            words.placements(_given(placement, self.family.default_placement), self.family.name),
            words.activations(_given(activation, self.family.default_activation)),
            *(Axis.of(name, self.options.pop(name)) for name in searchable if name in self.options),
            Axis.of("weight_decay", _given(weight_decay, usual.weight_decay), partial(number, at_least=0, below=1)),
            words.batch_sizes(batch_size),
        ]
        self._grid = Grid(axes, log_grid(_given(learning_rates, usual.learning_rates)))
        bounds.check_depths(self.depths)
        self._check_depths()
        for chosen in self._grid.combinations(("norm", "placement", "activation")):
            block_builder(self.family.name, self.family.placements, **chosen)

    @property
    def depths(self) -> tuple[int, ...]:
        """The depths."""
        return self._grid.axes["depth"].values

    @property
    def norms(self) -> tuple[Norm, ...]:
        """The norms."""
        return self._grid.axes["norm"].values

    @property
    def learning_rates(self) -> tuple[float, ...]:
        """The learning rates of the grid."""
        return self._grid.learning_rates

    @property
    def metric(self) -> str:
        """What Keras' logs have beside the loss: `accuracy`, or `r2_score` of a regression."""
        return self._task.metric

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """What hyperparameters may be, by name: depth, norm, whatever else has several values, learning rate."""
        return self._grid.labels()

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every combination of the axes, architecture by architecture."""
        return iter(self._grid)

    def architecture(self, values: Mapping[str, Any]) -> tuple:
        """What decides whether a compiled model can be used again: all hyperparameters but the learning rate.

        Args:
            values: The hyperparameters of a trial.
        """
        return self._grid.architecture(values)

    def batch_size_of(self, values: Mapping[str, Any]) -> int:
        """The examples of a training batch, for the hyperparameters of a trial."""
        return self._grid.value("batch_size", values)

    def shape_options(self) -> dict[str, Any]:
        """Return the options of the builder that depend on the shape of the data."""
        if self.input_shape is None:
            return {}
        options = self.family.options_for(self.input_shape)
        return {name: value for name, value in options.items() if not self._values_of(name)}

    def model(self, depth: int, norm: Norm, input_tensor: Any, **options: Any) -> keras.Model:
        """The network, not compiled, ending in logits, or in the unit of a regression.

        Args:
            depth: Integer.
            norm: A `bnzoo.Norm`.
            input_tensor: Keras tensor to start from.
            **options: `placement`, `activation` and the other arguments of the family's builder.
        """
        return self.family.by_depth(
            depth=depth,
            norm=norm,
            input_tensor=input_tensor,
            classes=self._task.units,
            classifier_activation=None,
            **options,
        )

    def check(self) -> None:
        """Raise `ValueError` if a network is too large, or a norm or an option cannot be used on the data."""
        self._require_data()
        bounds.check_parameters(self.parameters(), self.family.size_options)
        # which activation it is was looked at with the norms and placements, and makes no difference to shapes
        same = {"depth": min(self.depths), "activation": self._grid.axes["activation"].values[0]}
        for values in self._grid.combinations(name for name in self._grid.axes if name not in (*same, *_TRAINING)):
            try:
                self._network({**same, **values}, new_input(self.input_shape))
            except ValueError:
                raise
            except Exception as error:  # an option may be anything, and what a builder makes of it too
                reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                if isinstance(error, RecursionError):
                    reason = "Keras cannot connect so many layers in a row"
                given = ", ".join(f"{name}={value!r}" for name, value in {**values, **self.options}.items())
                raise ValueError(f"No network can be built with depth={same['depth']}, {given}: {reason}") from error

    def for_data(self, data: Dataset) -> "Space":
        """A copy with the shape, the classes and the scales of the data.

        Raises:
            ValueError: If the space was made for another shape, number of classes or scale, or needs images.
        """
        if self.family.images and len(data.input_shape) != 3:
            raise ValueError(
                f"{type(self).__name__} needs images (height, width, channels); {data.name} has examples of shape "
                f"{data.input_shape}. Use the MLP"
            )
        space = copy.copy(self)
        # Keras Tuner puts a wrapper of `build`, bound to its instance, on every instance
        del space.build
        keras_tuner.HyperModel.__init__(space, self.name, self.tunable)
        found = {"input_shape": data.input_shape, "classes": data.classes, "scale": data.scale}
        found["target_scale"] = None if data.classes else data.target_scale
        for name, value in found.items():
            own = getattr(self, name)
            if own is not None and own != value:
                raise ValueError(f"The space was made for {name}={own}, the data {data.name} has {value}")
            setattr(space, name, value)
        return space

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Names the axes of the space to Keras Tuner."""
        self._grid.declare(hp)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """A compiled model, as `keras_tuner.HyperModel` asks for it."""
        self._require_data()
        self.declare_hyperparameters(hp)
        chosen = self._grid.chosen(hp.values)
        x = new_input(self.input_shape)
        if self.scale is not None:
            x = keras.layers.Normalization(mean=self.scale[0], variance=self.scale[1], name="scale")(x)
        model = self._task.finish(self._network(chosen, x))
        model.compile(
            optimizer=self.optimizer.make(hp.get("learning_rate"), chosen["weight_decay"], model),
            jit_compile=False,  # on CPU these small networks train slower under XLA, and compile much longer
            **self._task.compile_arguments(),
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
        """Trains a model, as `keras_tuner.HyperModel` asks for it. Other arguments are those of `keras.Model.fit`.

        Arrays are taken in batches of the space's size, unless a `batch_size` is given.
        """
        highest = hp.get("learning_rate")

        def half_cosine(epoch: int, _: float) -> float:
            return highest * (1 + math.cos(math.pi * epoch / epochs)) / 2

        # Keras takes labels by themselves with arrays only; whatever else it takes is in batches already
        labels = args[1] if len(args) > 1 else kwargs.get("y")
        if labels is not None and len(args) < 3 and kwargs.get("batch_size") is None:
            kwargs["batch_size"] = self.batch_size_of(hp.values)
        schedule = keras.callbacks.LearningRateScheduler(half_cosine)
        return model.fit(*args, epochs=epochs, callbacks=[*(callbacks or ()), schedule], **kwargs)

    def get_config(self) -> dict[str, Any]:
        """All that decides what is searched, as JSON."""
        return {
            "family": self.family.name,
            **self._grid.get_config(),
            **self.optimizer.get_config(),
            "schedule": "half_cosine",  # so that a study begun without it is not gone on with
            **self.shape_options(),
            **self.options,
        }

    def parameters(self) -> float:
        """Estimate the number of parameters of the largest network."""
        names = {*self.options, *self._grid.axes}
        largest = {name: self._largest(name) for name in names}
        return self.family.parameters(max(self.depths), largest, self.input_shape, self.classes)

    def _largest(self, option: str) -> Any:
        values = self._values_of(option)
        return max(filter(is_finite, values), default=values[0])

    def _values_of(self, option: str) -> tuple[Any, ...]:
        if option in self._grid.axes:
            return self._grid.axes[option].values
        return (self.options[option],) if option in self.options else ()

    def _check_depths(self) -> None:
        options = {name: values for name in (*self.options, *self._grid.axes) if (values := self._values_of(name))}
        usual = {name: values[0] for name, values in options.items()}
        for depth in self.depths:
            for name, value in ((name, value) for name, values in options.items() for value in values):
                try:
                    self.family.check_depth(depth, {**usual, name: value})
                except ValueError as error:
                    raise ValueError(f"In `depths`, {error}") from None

    @property
    def _task(self) -> Task:
        return task_of(self.classes, self.target_scale)

    def _network(self, chosen: Mapping[str, Any], x: Any) -> keras.Model:
        parts = {name: value for name, value in chosen.items() if name not in _TRAINING}
        return self.model(**parts, input_tensor=x, **self.shape_options(), **self.options)

    def _require_data(self) -> None:
        if self.input_shape is None or self.classes is None:
            raise ValueError(
                f"`{type(self).__name__}` does not know the data yet: pass `input_shape=` and `classes=`, or use the "
                "space in a `bnzoo.tuning.Study`"
            )


def _sides(shape: Any) -> tuple[int | None, ...]:
    sides = tuple(shape) if isinstance(shape, list | tuple) else ()
    known = [side for side in sides if side is not None]
    positive_integers("input_shape", known, "the sides of an example without the batch, as (32, 32, 3)")
    return sides


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value
