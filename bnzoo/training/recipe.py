"""The recipe of a training: the loss, the metrics and the optimizer of a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras

from bnzoo.data import Dataset
from bnzoo.errors import number
from bnzoo.keras_internals import compile_arguments, excluded_from_weight_decay, functional_model
from bnzoo.metrics import CLASSIFICATION
from bnzoo.training.optimizers import Optimizer
from bnzoo.training.precision import scaled_loss, unscaled
from bnzoo.training.schedule_free import is_schedule_free
from bnzoo.training.schedules import WARMUP_COSINE, or_usual
from bnzoo.training.tasks import returns_probabilities, task_of

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
    def loss(self) -> Any:
        """The loss: its name, an object or a function."""
        return self._arguments.get("loss")

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

    @cached_property
    def is_schedule_free(self) -> bool:
        """`True` if the optimizer averages the weights itself."""
        return is_schedule_free(self._new_optimizer(self._model))

    def schedule(self, name: str | None, warmup: float | None) -> tuple[str, float | None]:
        """Return the name and the warm-up of a schedule, by default the usual ones of the optimizer."""
        return or_usual(name, warmup, self.is_schedule_free, WARMUP_COSINE)

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
        given = unscaled(self._model.optimizer)
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
        ValueError: If an argument is out of range, or does not fit the model.
    """
    check_model(model, data)
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
    if named is None and unscaled(model.optimizer).use_ema:  # Keras' `fit` ends with the averages as the weights
        raise ValueError(
            "`model` is compiled with an optimizer with `use_ema=True`, but `bnzoo.train` averages the weights itself "
            "(`average=True`). Compile it without `use_ema`"
        )
    if learning_rate is None:
        learning_rate = _rate_of(model) if named is None else named.defaults.learning_rate
    rate = float(number("learning_rate", learning_rate, above=0))
    arguments = compile_arguments(model) if compiled else _arguments(model, data)
    return Recipe(rate, model, {**arguments, "steps_per_execution": 1}, named, decay)


def _rate_of(model: keras.Model) -> float:
    """Return the learning rate of a compiled model."""
    if isinstance(unscaled(model.optimizer).get_config()["learning_rate"], float):
        return float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    raise ValueError("`learning_rate` is missing: the optimizer of the model has a schedule. Pass the highest rate")


def _arguments(model: keras.Model, data: Dataset) -> dict[str, Any]:
    """Return the arguments of `compile` for a model that is not compiled."""
    task = task_of(data.classes, data.target_scale, data.mixes_labels, data.task)
    arguments = {**task.compile_arguments(), "jit_compile": False}  # on a CPU, XLA trains small networks slower
    if returns_probabilities(model, data.task):
        if data.task != CLASSIFICATION:
            return arguments | {"loss": keras.losses.BinaryCrossentropy()}
        if data.mixes_labels:
            raise ValueError(
                f"`augment` mixes labels ({','.join(data.augment)}), which needs a model with logits as outputs. Build "
                "it with `classifier_activation=None`"
            )
        arguments["loss"] = keras.losses.SparseCategoricalCrossentropy()
    return arguments


def check_model(model: keras.Model, data: Dataset) -> None:
    """Raise `ValueError` if the model does not fit the data."""
    if not isinstance(data, Dataset):
        raise ValueError(
            "`data` must be a `bnzoo.data.Dataset`, such as `bnzoo.data.load('digits')`. Received: "
            f"{type(data).__name__}"
        )
    functional = isinstance(model, keras.Model) and functional_model(model) is not None
    if not functional or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            "`model` must be a built functional or Sequential `keras.Model` with one input and one output. "
            f"Received: {type(model).__name__}"
        )
    check_input_shape(model, data.input_shape, data.name)
    if (units := model.outputs[0].shape[-1]) != data.outputs:
        raise ValueError(
            f"`model` has {units} outputs, but {data.name} needs {data.outputs}. Build it with `classes={data.outputs}`"
        )
    loss = model.loss if model.compiled else None
    name = loss if isinstance(loss, str) else getattr(loss, "name", "")
    if name == "sparse_categorical_crossentropy" and data.mixes_labels:
        raise ValueError(
            f"`augment` mixes labels ({','.join(data.augment)}), but `model` is compiled with the loss "
            "'sparse_categorical_crossentropy', which needs one class for each example. Compile it with "
            "'categorical_crossentropy', or leave mixup and cutmix out"
        )
    if name == "categorical_crossentropy" and data.task == CLASSIFICATION and not data.mixes_labels:
        raise ValueError(
            "`model` is compiled with the loss 'categorical_crossentropy', but the labels are integers. Compile it "
            "with 'sparse_categorical_crossentropy'"
        )


def check_input_shape(model: keras.Model, shape: tuple[int, ...], name: str) -> None:
    """Raise `ValueError` if a functional model with one input takes examples of another shape.

    Args:
        model: The model.
        shape: Tuple, the shape of an example.
        name: String, the name of the data for the message.
    """
    taken = tuple(model.inputs[0].shape[1:])
    if len(taken) != len(shape) or any(side not in (None, given) for side, given in zip(taken, shape, strict=True)):
        raise ValueError(
            f"`model` takes inputs of the shape {taken}, but the examples of {name} have the shape {shape}. Build it "
            f"with `input_shape={shape}`"
        )
