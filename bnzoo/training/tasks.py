"""Tasks: the outputs, the loss and the metric of a network."""

from dataclasses import dataclass
from typing import Any

import keras

from bnzoo.errors import number
from bnzoo.export.signatures import LABEL_LOGITS, PREDICTION
from bnzoo.keras_internals import functional_model
from bnzoo.losses import MixedAccuracy, MixedCrossentropy, StandardR2Score, StandardSquaredError
from bnzoo.metrics import ACCURACY, CLASSIFICATION, MULTILABEL, R2, REGRESSION
from bnzoo.tools.activation_layers import ends_in

_SMALL, _LARGE = 1e-15, 1e15
# by task, the name of the output, from which an artefact knows the task
_OUTPUTS = {MULTILABEL: LABEL_LOGITS, REGRESSION: PREDICTION}
# by task, the activation that makes probabilities
_ACTIVATIONS = {CLASSIFICATION: keras.activations.softmax, MULTILABEL: keras.activations.sigmoid}

# the mean and the variance of a target, or lists of those of several targets
Scale = tuple[Any, Any]


@dataclass(frozen=True)
class Classification:
    """Classification, with logits as outputs.

    Attributes:
        units: Integer, the width of the last layer.
        mixed: Boolean, whether the labels may be rows of shares.
        metric: String, the metric in Keras' logs.
    """

    units: int
    mixed: bool = False
    metric: str = ACCURACY.keras_name

    def finish(self, model: keras.Model) -> keras.Model:
        """Return the network of the family as it is."""
        return model

    def compile_arguments(self) -> dict[str, Any]:
        """Return the loss and the metric for `keras.Model.compile`."""
        if self.mixed:
            return {"loss": MixedCrossentropy(), "metrics": [MixedAccuracy(name=self.metric)]}
        return {"loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True), "metrics": [self.metric]}


@dataclass(frozen=True)
class Multilabel:
    """Several labels an example, each of which is present or absent, with logits as outputs.

    The loss is the mean of the binary cross-entropies of the labels. Keras computes no metric.

    Attributes:
        units: Integer, the number of labels.
        metric: String, the metric in Keras' logs: none.
    """

    units: int
    metric: str = ""

    def finish(self, model: keras.Model) -> keras.Model:
        """Return the network with an output whose name tells an artefact that the labels are independent."""
        return with_named_output(model, MULTILABEL)

    def compile_arguments(self) -> dict[str, Any]:
        """Return the loss for `keras.Model.compile`."""
        return {"loss": keras.losses.BinaryCrossentropy(from_logits=True)}


@dataclass(frozen=True)
class Regression:
    """Regression of one or several numbers. The network predicts standardized targets, a last layer restores the units.

    The loss is the squared error divided by the variance of the target, so that the loss of guessing the mean is 1. For
    several targets it is the mean of theirs.

    Attributes:
        mean: Float, the mean of the target, or list of floats.
        variance: Float, the variance of the target, or list of floats.
        metric: String, the metric in Keras' logs.
    """

    mean: Any = 0.0
    variance: Any = 1.0
    metric: str = R2.keras_name

    def __post_init__(self) -> None:
        for variance in self.variance if self._several else [self.variance]:
            number("target_scale[1]", variance, above=0)

    @property
    def units(self) -> int:
        """The width of the last layer."""
        return len(self.variance) if self._several else 1

    @property
    def _several(self) -> bool:
        return isinstance(self.variance, list | tuple)

    def finish(self, model: keras.Model) -> keras.Model:
        """Return the network with an output in the units of the target."""
        offset = list(self.mean) if self._several else self.mean
        scale = keras.layers.Rescaling(self._deviation, offset=offset, name=PREDICTION)
        return keras.Model(model.input, scale(model.output), name=model.name)

    @property
    def _deviation(self) -> Any:
        return [variance**0.5 for variance in self.variance] if self._several else self.variance**0.5

    def compile_arguments(self) -> dict[str, Any]:
        """Return the loss and the metric for `keras.Model.compile`."""
        deviation = self._deviation
        # Where float32 can hold the squares, the loss and the metric of Keras load without bnzoo.
        if self._several or not (deviation >= _SMALL and deviation + abs(self.mean) <= _LARGE):
            metric = StandardR2Score(self.mean, deviation, name=self.metric)
            return {"loss": StandardSquaredError(deviation), "metrics": [metric]}
        return {
            "loss": "mean_squared_error",
            "loss_weights": 1 / self.variance,
            "metrics": [keras.metrics.R2Score(name=self.metric)],
        }


Task = Classification | Multilabel | Regression


def task_of(classes: int, target_scale: Scale | None, mixed: bool = False, task: str | None = None) -> Task:
    """Return the task.

    Args:
        classes: Integer, the number of classes or labels, 0 for a regression.
        target_scale: The `Scale` of a regression.
        mixed: Boolean, whether classes may be rows of shares.
        task: String, `"multilabel"`, or any other task, which the number of classes decides.
    """
    if task == MULTILABEL:
        return Multilabel(classes)
    if classes:
        return Classification(classes, mixed)
    return Regression() if target_scale is None else Regression(*target_scale)


def returns_probabilities(model: keras.Model, task: str) -> bool:
    """Return whether the output of a functional or Sequential model is probabilities, and not logits or numbers."""
    return task in _ACTIVATIONS and ends_in(model, _ACTIVATIONS[task])


def with_named_output(model: keras.Model, task: str) -> keras.Model:
    """Return a model whose output has the name from which an artefact knows the task.

    Args:
        model: The model. It is returned as it is if it is a classifier, has the name, or has several outputs.
        task: String, the task.
    """
    graph = functional_model(model)
    if task not in _OUTPUTS or graph is None or len(graph.outputs) != 1:
        return model
    name = "probabilities" if returns_probabilities(model, task) else _OUTPUTS[task]
    if graph.output_names == [name]:
        return model
    output = graph.outputs[0]
    if any(operation.name == name for operation in graph.operations):  # a name is free outside a nested model
        output = model(graph.input)
    named = keras.layers.Activation("linear", dtype=output.dtype, name=name)
    return keras.Model(graph.input, named(output), name=model.name)
