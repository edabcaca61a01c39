"""The objective of a study: the loss or a metric, as a score that is lower for a better model."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bnzoo.data import Dataset
from bnzoo.errors import choice
from bnzoo.metrics import CLASSIFICATION, MULTILABEL, REGRESSION, Metric, guesses, metrics_for

LOSS = "loss"


def score_cap(task: str, outputs: int) -> float:
    """Return the upper limit of losses: twice the loss of guessing.

    Classes and labels are guessed with equal probabilities. The loss of a regression is the squared error divided by
    the variance of the target.

    Args:
        task: String, the task.
        outputs: Integer, the number of classes, labels or targets.
    """
    choices = {CLASSIFICATION: outputs, MULTILABEL: 2}.get(task)
    return 2 * math.log(choices) if choices else 2.0


def loss_cap(data: Dataset, truth: np.ndarray | None = None) -> float:
    """Return the validation loss from which a training on data counts as diverged: that of `score_cap`.

    For a regression it is at least twice the loss of guessing on the validation data. If this has the largest targets,
    the mean of the training data misses them by more than a variance.

    Args:
        data: The `Dataset`.
        truth: Array, the targets of the examples on which trials are evaluated. Default: those of the validation data.
    """
    cap, truth = score_cap(data.task, data.outputs), data.validation.y if truth is None else truth
    if data.target_scale is None:  # not a regression
        return cap
    targets = truth.astype(np.float64).reshape(len(truth), -1)
    mean, variance = (np.asarray(value, np.float64) for value in data.target_scale)
    return cap * max(1.0, float(np.mean((targets - mean) ** 2 / variance)))


@dataclass(frozen=True)
class Objective:
    """The objective of a study.

    The score is the loss; or the metric if lower is better, else 1 minus the metric.

    Attributes:
        cap: Float, the upper limit of scores.
        guessing: Float, the score of a model that ignores its input.
        metric: The `Metric`, or `None` for the loss.
        weighted: Boolean, whether the loss weights the examples by their classes.
    """

    cap: float
    guessing: float
    metric: Metric | None = None
    weighted: bool = False

    @property
    def label(self) -> str:
        """The name of the score."""
        if self.metric is None:
            return "class-weighted loss" if self.weighted else LOSS
        return f"1 - {self.metric.label}" if self.metric.higher_is_better else self.metric.label

    def score(self, loss: float, predict: Callable[[], np.ndarray], truth: np.ndarray) -> float:
        """Return the score of a model.

        Args:
            loss: Float, its validation loss.
            predict: Function without arguments that returns its outputs for the validation data.
            truth: Array, the classes, labels or targets of the validation data.
        """
        if self.metric is None:
            return self.capped(loss)
        if not math.isfinite(loss):
            return self.cap
        return self.capped(self.metric.badness(self.metric.of({"": predict()}, truth)))

    def capped(self, score: float) -> float:
        """Return a score that is at most `cap`, which replaces NaN too."""
        return min(score, self.cap) if math.isfinite(score) else self.cap

    def text(self, score: float) -> str:
        """Return a score as text: the loss or the metric, with its name."""
        if self.metric is None:
            return f"{self.label} {score:.4f}"
        return f"{self.metric.label} {self.metric.text(self.metric.badness(score))}"


def loss_objective(cap: float, weighted: bool = False) -> Objective:
    """Return the objective `"loss"` with an upper limit, which is twice the loss of guessing."""
    return Objective(cap, cap / 2, weighted=weighted)


def objective_of(
    name: str, data: Dataset, class_weight: str | None = None, truth: np.ndarray | None = None
) -> Objective:
    """Return the objective with a name.

    Args:
        name: String.
        data: The `Dataset`.
        class_weight: As in `Study`.
        truth: As in `loss_cap`.

    Raises:
        ValueError: If the task has no such metric.
    """
    metrics = metrics_for(data.task, data.outputs)
    choice("objective", name, (LOSS, *metrics))
    if name == LOSS:
        return loss_objective(loss_cap(data, truth), class_weight is not None)
    metric, truth = metrics[name], data.validation.y if truth is None else truth
    guessing = metric.badness(metric.compute(guesses(data.train.y, data.outputs, len(truth)), truth))
    # A guess is perfectly calibrated. It can be as bad as possible in the other metrics of classes and labels.
    cap = 2 * guessing if data.task == REGRESSION else 1.0
    return Objective(cap, guessing if guessing > 1 / len(truth) else cap, metric, class_weight is not None)
