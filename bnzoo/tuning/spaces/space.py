"""The space of a search: learning rate, depth and norm of one family, and other arguments with several values."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import keras
import keras_tuner

from bnzoo.blocks import block_builder
from bnzoo.data import Dataset
from bnzoo.errors import choice, is_finite, positive_integers
from bnzoo.models.ends import new_input
from bnzoo.models.family import Family
from bnzoo.norms import Norm
from bnzoo.training.loop import fit
from bnzoo.training.optimizers import Optimizer
from bnzoo.training.schedule_free import end_at_the_average
from bnzoo.training.schedules import HALF_COSINE, Schedule
from bnzoo.training.tasks import Scale, Task, task_of
from bnzoo.tuning.spaces import bounds, training, words
from bnzoo.tuning.spaces.axes import Axis, distinct, log_grid
from bnzoo.tuning.spaces.grid import Grid

# the axes that are not arguments of the network
_TRAINING = ("optimizer", "momentum", "weight_decay", "schedule", "warmup", "batch_size")


class Space(keras_tuner.HyperModel):
    """The search space of a family: learning rate, depth, norm, and every other argument with several values.

    A space is a `keras_tuner.HyperModel`: `keras_tuner.RandomSearch(space.for_data(data), objective="val_accuracy")`
    samples it, with the learning rate on a continuous log scale. A `bnzoo.tuning.Study` samples it or runs its grid.

    The models standardize their input. Their outputs are logits, or predictions in the units of the target, for which
    the loss is the squared error divided by the variance of the target.

    Args:
        depths: Sequence of integers, each at most 2,000.
        learning_rates: Tuple `(low, high)` or `(low, high, points)`, the ends of a log grid of 7 or `points`. By
            default `(1e-3, 3.0)` for SGD and `(1e-4, 0.1)` for the other optimizers. If both are searched, the grid
            has both ranges, with more points. At most 1,000 points.
        norms: Sequence of norms: names, dicts, `bnzoo.Norm`, or `None` for no norm.
        placement: String or sequence of strings, the position of the norm. By default `"post"` for a
            ResNet, else `"pre"`.
        activation: String or sequence of strings, any activation of Keras. By default that of the family.
        batch_size: Integer or sequence of integers, the number of examples in a training batch, at least 2.
        optimizer: String or sequence of strings: `"sgd"`, `"adamw"`, `"muon"` (`bnzoo.optimizers.Muon`) or
            `"schedule_free_adamw"` (`bnzoo.optimizers.ScheduleFreeAdamW`). By default that of the family.
        momentum: Float or sequence of floats, the momentum of SGD, 0.9 by default, or of Muon, 0.95 by default. If
            several optimizers are searched as well, each momentum is a value of the axis `optimizer`:
            `"sgd(momentum=0.8)"`.
        schedule: String or sequence of strings, the learning rate in the course of a trial: `"half_cosine"`, which
            decays to 0 with each epoch (Loshchilov & Hutter 2017, eq. 5, without restarts), `"warmup_cosine"` and
            `"linear"`, which rise over the first 5 % of the trial and then decay to 0 with each step, or `"constant"`.
            By default `"half_cosine"`, for schedule-free AdamW `"constant"` after a warm-up of 0.05.
        warmup: Float or sequence of floats, the share of a trial in which the learning rate rises. By default 0.05 for
            `"warmup_cosine"` and `"linear"`, 0 for `"constant"`. `"half_cosine"` cannot have a warm-up.
        weight_decay: Float or sequence of floats, relative to the learning rate. It excludes
            `bnzoo.no_decay_variables`. By default 5e-3 for SGD and 0.05 for the others.
        input_shape: Tuple without the batch dimension. A study takes it from its data.
        classes: Integer, the number of classes or labels, 0 for a regression. A study takes it from its data.
        task: String, `"multilabel"` for several labels an example. A study takes it from its data.
        scale: Tuple of mean and variance of the inputs, as `bnzoo.data.Dataset.scale`; `None` leaves them as they
            are. A study takes it from its data.
        target_scale: Tuple of mean and variance of the target of a regression, each a list for several targets. A study
            takes it from its data.
        **options: Further arguments of the builder of the family, such as `width=64`, that JSON can represent. The
            `searchable_options` of the family may have several values. Numbers are at most 1,000,000, and the largest
            network has at most 500,000,000 parameters.

    Raises:
        ValueError: If a value is unknown or out of range, or a norm, a placement and an activation do not fit together.
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
        optimizer: str | Sequence[str] | None = None,
        momentum: float | Sequence[float] | None = None,
        schedule: str | Sequence[str] | None = None,
        warmup: float | Sequence[float] | None = None,
        weight_decay: float | Sequence[float] | None = None,
        input_shape: Sequence[int] | None = None,
        classes: int | None = None,
        task: str | None = None,
        scale: tuple[Any, Any] | None = None,
        target_scale: Scale | None = None,
        **options: Any,
    ) -> None:
        super().__init__(name=self.family.name)
        self.input_shape: Any = None if input_shape is None else _sides(input_shape)
        self.classes: Any = classes
        self.task = task
        self.scale = scale
        self.target_scale = target_scale
        self.mixed_labels = False
        chosen = _given(optimizer, self.family.default_optimizer)
        self._optimizers, self._optimizer_config = training.optimizers(chosen, momentum)
        bounds.check_options(options)
        self.options = {**self.family.default_options, **options}
        searchable = (*self.family.searchable_options, *self.further_options)
        several = self._optimizers.values
        axes = [
            Axis.of("depth", distinct("depths", _given(depths, self.family.default_depths))),
            words.norms(_given(norms, self.family.default_norms)),
            words.placements(_given(placement, self.family.default_placement), self.family.name),
            words.activations(_given(activation, self.family.default_activation)),
            *(Axis.of(name, self.options.pop(name)) for name in searchable if name in self.options),
            self._optimizers,
            training.weight_decays(weight_decay, several),
            *training.schedules(schedule, warmup, several),
            words.batch_sizes(batch_size),
        ]
        self._grid = Grid(axes, log_grid(_given(learning_rates, training.learning_rates(several))))
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
        """The name of the metric in the logs of Keras: `accuracy`; `r2_score` for a regression; empty for labels."""
        return self._task.metric

    def axes(self) -> dict[str, tuple[Any, ...]]:
        """Return the values of each hyperparameter: depth, norm, other axes with several values, learning rate."""
        return self._grid.labels()

    def grid(self) -> Iterator[dict[str, Any]]:
        """Return an iterator of all combinations, in which equal architectures are consecutive."""
        return iter(self._grid)

    def completed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return a configuration with the values that are missing.

        Args:
            values: The value of some hyperparameters, as in `grid`.

        Returns:
            A dict. A missing learning rate is the usual one of the optimizer, any other value the first one of its
            axis.
        """
        complete = {**next(self.grid()), **values}
        if "learning_rate" not in values:
            complete["learning_rate"] = self.optimizer_of(complete).defaults.learning_rate
        return complete

    def architecture(self, values: Mapping[str, Any]) -> tuple:
        """Return all hyperparameters except the learning rate: trials in which they are equal share a compiled model.

        Args:
            values: The hyperparameters of a trial.
        """
        return self._grid.architecture(values)

    def network_of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters that determine the network of a trial, without those of the training alone.

        Args:
            values: The hyperparameters of the trial.
        """
        return {name: value for name, value in self._grid.architecture(values) if name not in _TRAINING}

    def batch_size_of(self, values: Mapping[str, Any]) -> int:
        """Return the number of examples in a training batch of a trial."""
        return self._grid.value("batch_size", values)

    def optimizer_of(self, values: Mapping[str, Any]) -> Optimizer:
        """Return the optimizer of a trial."""
        return self._grid.value(self._optimizers.name, values)

    def schedule_of(self, values: Mapping[str, Any]) -> Schedule:
        """Return the schedule of a trial."""
        given = (self._grid.value(name, values) for name in ("schedule", "warmup"))
        return training.schedule_of(self.optimizer_of(values), *given)

    def chosen_schedule(self, values: Mapping[str, Any]) -> tuple[str | None, float | None]:
        """Return the schedule and the warm-up of a trial; `None` if the space has those of trials by default."""
        name = self._grid.value("schedule", values)
        if not self._grid.axes["schedule"].searched and name in (None, HALF_COSINE):
            return None, None
        return name, self._grid.value("warmup", values)

    def shape_options(self) -> dict[str, Any]:
        """Return the options of the builder that depend on the shape of the data."""
        if self.input_shape is None:
            return {}
        options = self.family.options_for(self.input_shape)
        return {name: value for name, value in options.items() if not self._values_of(name)}

    def model(self, depth: int, norm: Norm, input_tensor: Any, **options: Any) -> keras.Model:
        """Return the network, not compiled, with logits or the prediction of a regression as output.

        Args:
            depth: Integer.
            norm: A `bnzoo.Norm`.
            input_tensor: Keras tensor, the input.
            **options: `placement`, `activation` and the other arguments of the builder of the family.
        """
        return self.family.by_depth(
            depth=depth,
            norm=norm,
            input_tensor=input_tensor,
            classes=self._task.units,
            classifier_activation=None,
            **options,
        )

    def network(self, depth: int) -> keras.Model:
        """Return a network of a depth, not compiled, with the first value of every other hyperparameter."""
        self._require_data()
        first = {name: axis.values[0] for name, axis in self._grid.axes.items()}
        return self._network({**first, "depth": depth}, new_input(self.input_shape))

    def check(self) -> None:
        """Raise `ValueError` if a network is too large, or a norm or an option cannot be used on the data."""
        self._require_data()
        bounds.check_parameters(self.parameters(), self.family.size_options)
        # Activations do not change shapes; the constructor has checked them.
        same = {"depth": min(self.depths), "activation": self._grid.axes["activation"].values[0]}
        for values in self._grid.combinations(name for name in self._grid.axes if name not in (*same, *_TRAINING)):
            try:
                self._network({**same, **values}, new_input(self.input_shape))
            except ValueError:
                raise
            except Exception as error:  # options may have any type, which builders do not all check
                reason = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
                if isinstance(error, RecursionError):
                    reason = "Keras cannot connect so many layers in a row"
                given = ", ".join(f"{name}={value!r}" for name, value in {**values, **self.options}.items())
                raise ValueError(f"No network can be built with depth={same['depth']}, {given}: {reason}") from error

    def for_data(self, data: Dataset) -> "Space":
        """Return a copy with the shape, the classes and the scales of the data.

        Raises:
            ValueError: If the space was made for another shape, number of classes or scale, or needs images.
        """
        if self.family.images and len(data.input_shape) != 3:
            raise ValueError(
                f"{type(self).__name__} needs images (height, width, channels), but {data.name} has examples of shape "
                f"{data.input_shape}. Use `MLPSpace`, or `mlp` on the command line"
            )
        space = copy.copy(self)
        # Keras Tuner stores a wrapper of `build` in every instance, which is bound to that instance
        del space.build
        keras_tuner.HyperModel.__init__(space, self.name, self.tunable)
        of_data = {"input_shape": data.input_shape, "classes": data.classes, "task": data.task, "scale": data.scale}
        of_data["target_scale"] = data.target_scale
        for name, value in of_data.items():
            own = getattr(self, name)
            if own is not None and own != value:
                raise ValueError(f"The space was made for {name}={own}, but the data {data.name} has {value}")
            setattr(space, name, value)
        space.mixed_labels = data.mixes_labels
        return space

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declare the axes of the space to Keras Tuner."""
        self._grid.declare(hp)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return a compiled model, as `keras_tuner.HyperModel` requires."""
        self._require_data()
        self.declare_hyperparameters(hp)
        chosen = self._grid.chosen(hp.values)
        x = new_input(self.input_shape)
        if self.scale is not None:
            x = keras.layers.Normalization(mean=self.scale[0], variance=self.scale[1], name="scale")(x)
        model = self._task.finish(self._network(chosen, x))
        optimizer = self.optimizer_of(hp.values)
        decay = _given(chosen["weight_decay"], optimizer.defaults.weight_decay)
        model.compile(
            optimizer=optimizer.make(hp.get("learning_rate"), decay, model),
            jit_compile=False,  # on a CPU, XLA trains these small networks slower and compiles much longer
            **self._task.compile_arguments(),
        )
        return model

    def build_configuration(self, values: Mapping[str, Any], seed: int) -> keras.Model:
        """Return the compiled model of a configuration, with the initial weights of a seed.

        Args:
            values: The value of each hyperparameter, as in `grid`.
            seed: Integer.

        Raises:
            ValueError: If a name or a value is not in the space.
        """
        for name in values:
            choice("hyperparameter", name, (*self._grid.axes, "learning_rate"))
        hp = keras_tuner.HyperParameters()
        hp.values.update(values)
        keras.utils.set_random_seed(seed)
        return self.build(hp)

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        epochs: int = 1,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train a model, as `keras_tuner.HyperModel` requires. The other arguments are those of `keras.Model.fit`.

        The learning rate of `hp` is the highest one of the schedule, whatever that of the optimizer is. Arrays are
        trained in batches of the size of the space, unless `batch_size` is given. A model with a schedule-free
        optimizer ends with the average of its weights.
        """
        # Keras takes separate labels with arrays only. Data sets are already in batches.
        labels = args[1] if len(args) > 1 else kwargs.get("y")
        if labels is not None and len(args) < 3 and kwargs.get("batch_size") is None:
            kwargs["batch_size"] = self.batch_size_of(hp.values)
        history = fit(
            model,
            *args,
            learning_rate=hp.get("learning_rate"),
            schedule=self.schedule_of(hp.values),
            epochs=epochs,
            callbacks=callbacks,
            **kwargs,
        )
        end_at_the_average(model)
        return history

    def get_config(self) -> dict[str, Any]:
        """Return the definition of the search as JSON."""
        axes = self._grid.get_config()
        if axes["warmup"] is None:  # a study that began without it goes on
            del axes["warmup"]
        return {
            "family": self.family.name,
            **axes,
            **self._optimizer_config,
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
        return task_of(self.classes, self.target_scale, self.mixed_labels, self.task)

    def _network(self, chosen: Mapping[str, Any], x: Any) -> keras.Model:
        parts = {name: value for name, value in chosen.items() if name not in _TRAINING}
        return self.model(**parts, input_tensor=x, **self.shape_options(), **self.options)

    def _require_data(self) -> None:
        if self.input_shape is None or self.classes is None:
            raise ValueError(
                f"`{type(self).__name__}` has no data yet: pass `input_shape=` and `classes=`, or use the space in a "
                "`bnzoo.tuning.Study`"
            )


def _sides(shape: Any) -> tuple[int | None, ...]:
    sides = tuple(shape) if isinstance(shape, list | tuple) else ()
    known = [side for side in sides if side is not None]
    positive_integers("input_shape", known, "the sides of an example without the batch, as (32, 32, 3)")
    return sides


def _given(value: Any, default: Any) -> Any:
    return default if value is None else value
