"""A metric: its value, as a function of predictions, true values and weights, and its texts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Prepared = Callable[[np.ndarray], float]  # a function of the weights of the examples

CLASSIFICATION, MULTILABEL, REGRESSION = "classification", "multilabel", "regression"
ANY = range(1, 1_000_000_000)


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: String, its name in columns of results.
        label: String, its name in reports, messages and manifests.
        prepare: Function of the predictions and the true values that returns a function of the weights of the examples.
            The predictions of classes and labels are probabilities.
        form: String, the format specification of a value.
        short_form: String, that of a value for which there is little room.
        keras_name: String, its name in the logs of Keras; empty if Keras does not compute it.
        higher_is_better: Boolean.
        share: Boolean, whether the value is a share of the examples.
        tasks: Tuple of strings, the tasks for which it is defined.
        outputs: Range, the numbers of classes, labels or targets for which it is defined.
    """

    name: str
    label: str
    prepare: Callable[[np.ndarray, np.ndarray], Prepared]
    form: str
    short_form: str
    keras_name: str = ""
    higher_is_better: bool = True
    share: bool = False
    tasks: tuple[str, ...] = (CLASSIFICATION,)
    outputs: range = ANY

    def compute(self, predictions: np.ndarray, truth: np.ndarray) -> float:
        """Compute the metric from predictions and true values, both arrays."""
        return self.prepare(predictions, truth)(np.ones(len(truth)))

    def of(self, outputs: Mapping[str, np.ndarray], truth: np.ndarray) -> float:
        """Compute the metric from the outputs of a model."""
        return self.compute(predictions_of(outputs, truth), truth)

    def text(self, value: float) -> str:
        """Format a value."""
        return f"{value:{self.form}}"

    def short_text(self, value: float) -> str:
        """Format a value for which there is little room."""
        return f"{value:{self.short_form}}"

    def badness(self, value: float) -> float:
        """Return a number that is lower for a better value."""
        return 1 - value if self.higher_is_better else value


def predictions_of(outputs: Mapping[str, np.ndarray], truth: np.ndarray) -> np.ndarray:
    """Return the predictions among the outputs of a model: the probabilities of classes or labels, or the numbers.

    Args:
        outputs: Dict of arrays by name. The first output has the logits or the predictions, unless there are
            `probabilities`.
        truth: Array of the true values, as in `task_of`.
    """
    first, task = next(iter(outputs.values())), task_of(truth)
    if task == REGRESSION:
        return first
    if "probabilities" in outputs:
        return outputs["probabilities"]
    return softmax(first) if task == CLASSIFICATION else sigmoid(first)


def task_of(truth: np.ndarray) -> str:
    """Return the task with these true values.

    Args:
        truth: Array: integers, which are classes; rows of 0 and 1 as integers, which are labels; or other numbers.
    """
    if not np.issubdtype(truth.dtype, np.integer):
        return REGRESSION
    return CLASSIFICATION if truth.ndim == 1 else MULTILABEL


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of the classes, in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of the labels, in float64."""
    return 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))
