"""The recipe of a training: the loss, the metrics and the optimizer of a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras

from bnzoo.data import Dataset
from bnzoo.errors import number
from bnzoo.keras_internals import compile_arguments, excluded_from_weight_decay
from bnzoo.metrics import CLASSIFICATION
from bnzoo.training.measures import ends_in_softmax
from bnzoo.training.optimizers import Optimizer
from bnzoo.training.precision import scaled_loss
from bnzoo.training.tasks import task_of

SGD = "sgd"


@dataclass
class Recipe:
    """The arguments with which a model is compiled, and its optimizer.

    Attributes:
        learning_rate: Float, the highest learning rate.
    """

    learning_rate: float
    _model: keras.Model
    _arguments: Mapping[str, Any]
    _named: Optimizer | None
    _decay: float

    @property
    def optimizer(self) -> dict[str, Any]:
        """The optimizer, without its learning rate, as JSON."""
        made = self._new_optimizer(self._model)
        plain = {
            name: value
            for name, value in made.get_config().items()
            if name not in ("name", "learning_rate") and isinstance(value, int | float | str | bool | None)
        }
        return {"name": type(made).__name__, **plain}

    def compile(self, model: keras.Model, precision: str) -> keras.Model:
        """Compile a model, or a copy of it in another precision, with a new optimizer."""
        with model.distribute_strategy.scope():
            optimizer = scaled_loss(self._new_optimizer(model), precision)
            model.compile(**{**self._arguments, "optimizer": optimizer})
            optimizer.build(model.trainable_variables)
        return model

    def _new_optimizer(self, model: keras.Model) -> keras.Optimizer:
        if self._named is not None:
            return self._named.make(self.learning_rate, self._decay, model)
        given = _unscaled(self._model.optimizer)
        made = type(given).from_config({**given.get_config(), "learning_rate": self.learning_rate})
        excluded = {id(variable) for variable in excluded_from_weight_decay(given, self._model.trainable_variables)}
        pairs = zip(self._model.trainable_variables, model.trainable_variables, strict=True)
        made.exclude_from_weight_decay(var_list=[new for old, new in pairs if id(old) in excluded])
        return made


def recipe_of(
    model: keras.Model,
    data: Dataset,
    learning_rate: float | None,
    optimizer: str | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
) -> Recipe:
    """Return the recipe of a training. A compiled model keeps its loss, its metrics and its kind of optimizer.

    Raises:
        ValueError: If an argument is missing or out of range, or does not fit the model.
    """
    compiled = model.compiled and getattr(model, "optimizer", None) is not None
    named: Optimizer | None = None
    decay = 0.0
    if optimizer is not None or not compiled:
        named = Optimizer(optimizer or SGD, momentum)
        usual = named.defaults.weight_decay
        decay = number("weight_decay", usual if weight_decay is None else weight_decay, at_least=0, below=1)
    elif momentum is not None or weight_decay is not None:
        raise ValueError(
            "`momentum` and `weight_decay` need `optimizer`, since the model is compiled and keeps its optimizer. Pass "
            "`optimizer='sgd'` to replace it"
        )
    rate = _rate(model, learning_rate, compiled)
    arguments = compile_arguments(model) if compiled else _arguments(model, data)
    return Recipe(rate, model, {**arguments, "steps_per_execution": 1}, named, decay)


def _rate(model: keras.Model, learning_rate: float | None, compiled: bool) -> float:
    if learning_rate is None and compiled:
        rate = model.optimizer.learning_rate
        if isinstance(_unscaled(model.optimizer).get_config()["learning_rate"], float):
            return float(keras.ops.convert_to_numpy(rate))
        raise ValueError("`learning_rate` is missing: the optimizer of the model has a schedule. Pass the highest rate")
    if learning_rate is None:
        raise ValueError("`learning_rate` is missing. Pass the highest learning rate of the training, such as 0.1")
    return float(number("learning_rate", learning_rate, above=0))


def _arguments(model: keras.Model, data: Dataset) -> dict[str, Any]:
    """Return the arguments of `compile` for a model that is not compiled."""
    task = task_of(data.classes, data.target_scale, data.mixes_labels, data.task)
    arguments = {**task.compile_arguments(), "jit_compile": False}  # on a CPU, XLA trains small networks slower
    if data.task == CLASSIFICATION and ends_in_softmax(model):
        if data.mixes_labels:
            raise ValueError(
                f"`augment` mixes labels ({','.join(data.augment)}), which needs a model with logits as outputs. Build "
                "it with `classifier_activation=None`"
            )
        arguments["loss"] = keras.losses.SparseCategoricalCrossentropy()
    return arguments


def _unscaled(optimizer: Any) -> Any:
    return getattr(optimizer, "inner_optimizer", optimizer)
