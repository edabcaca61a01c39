"""A metric: its value, as a function of predictions, true values and weights, and its texts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Prepared = Callable[[np.ndarray], float]  # a function of the weights of the examples


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: String, its name in columns of results.
        label: String, its name in reports, messages and manifests.
        prepare: Function of the predictions and the true values that returns a function of the weights of the examples.
            The predictions of a classification are probabilities, where `probabilities` says so, or logits.
        form: String, the format specification of a value.
        short_form: String, that of a value for which there is little room.
        keras_name: String, its name in the logs of Keras; empty if Keras does not compute it.
        higher_is_better: Boolean.
        share: Boolean, whether the value is a share of the examples.
        classes: Range, the numbers of classes for which it is defined; 0 stands for a regression.
    """

    name: str
    label: str
    prepare: Callable[[np.ndarray, np.ndarray], Prepared]
    form: str
    short_form: str
    keras_name: str = ""
    higher_is_better: bool = True
    share: bool = False
    classes: range = range(2, 1_000_000_000)

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
    """Return the predictions among the outputs of a model: the probabilities of the classes, or the numbers.

    Args:
        outputs: Dict of arrays by name. The first output has the logits or the predictions, unless there are
            `probabilities`.
        truth: Array of the true values: integers, which are classes, or other numbers.
    """
    first = next(iter(outputs.values()))
    if not np.issubdtype(truth.dtype, np.integer):
        return first
    if "probabilities" in outputs:
        return outputs["probabilities"]
    return softmax(first)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of the classes, in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)
