"""The metrics of a study's best model on the validation and the test data."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np

from bnzoo.data import Dataset, Split
from bnzoo.metrics import (
    CLASSIFICATION,
    METRICS,
    Measured,
    Metric,
    confusion_matrix,
    guesses,
    measured,
    metric_named,
    metrics_for,
    metrics_of_targets,
    predictions_of,
)
from bnzoo.training.batches import evaluation_batches
from bnzoo.training.tasks import returns_probabilities

MOST_CLASSES = 100  # of a confusion matrix, which has the square of it as entries
_NAMES = [metric.name for metric in METRICS]


@dataclass(frozen=True)
class Measures:
    """The metrics of a model, by name. The name of an error of one of several targets is that of both: `rmse:height`.

    Attributes:
        validation: Dict of floats.
        test: Dict of `bnzoo.metrics.Measured`: the values with their 95 % intervals.
        guessing: Dict of floats: on the test data, with the shares of the classes or the mean of the targets in the
            training data as the predictions.
        confusion: List of lists of integers: the number of test examples of each class (rows) for which each class
            (columns) is predicted. Empty for more than 100 classes, several labels an example, and a regression.
        labels: List of strings, the names of the classes in `confusion`.
    """

    validation: dict[str, float] = field(default_factory=dict)
    test: dict[str, Measured] = field(default_factory=dict)
    guessing: dict[str, float] = field(default_factory=dict)
    confusion: list[list[int]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)

    def rows(self) -> list[dict[str, str]]:
        """Return a row of a table, as text, for each metric."""
        rows = []
        for name, found in self.test.items():
            metric = metric_named(name)
            values = {"guessing": self.guessing[name], "validation": self.validation[name], "test": found.value}
            texts = {kind: metric.text(value) for kind, value in values.items()}
            rows.append({"metric": metric.label, **texts, "95 % interval": found.ends(metric)})
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes as JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Any) -> "Measures":
        """Return the measures of a dict of their attributes.

        Raises:
            ValueError: If it has another form.
        """
        try:
            test = {name: Measured(**_numbers(found)) for name, found in values["test"].items()}
            validation, guessing = _numbers(values["validation"]), _numbers(values["guessing"])
            matrix, labels = values["confusion"], [str(label) for label in values["labels"]]
            whole = all(isinstance(count, int) and not isinstance(count, bool) for row in matrix for count in row)
            known = {name.partition(":")[0] for name in test} <= set(_NAMES)
            square = all(len(row) == len(matrix) for row in (*matrix, labels))
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError("it has another form") from error
        if not test.keys() == validation.keys() == guessing.keys() or not known or not (whole and square):
            raise ValueError("its metrics or its confusion matrix are wrong")
        return cls(validation, test, guessing, matrix, labels)


def outputs_of(model: keras.Model, data: Dataset, split: Split) -> dict[str, np.ndarray]:
    """Return the outputs of a model for a split of the data, by the names that its SavedModel has."""
    name = "probabilities" if returns_probabilities(model, data.task) else ""
    return {name: model.predict(evaluation_batches(data, split, 256), verbose=0)}


def measure(model: keras.Model, outputs: Mapping[str, np.ndarray], data: Dataset) -> Measures:
    """Measure a model.

    Args:
        model: The model, for the validation data.
        outputs: Dict of the outputs for the test data by name: those of the model, or of its SavedModel.
        data: The `Dataset`.
    """
    metrics, test, validation = metrics_for(data.task, data.outputs), data.test.y, data.validation.y
    if data.outputs > 1:
        metrics |= metrics_of_targets(data.targets)
    predictions = predictions_of(outputs, test)
    found = measured(metrics, predictions, test)
    others = {
        "validation": _values(
            metrics, predictions_of(outputs_of(model, data, data.validation), validation), validation
        ),
        "guessing": _values(metrics, guesses(data.train.y, data.outputs, len(test)), test),
    }
    # a metric may have no value for few examples
    tables = (others["validation"], others["guessing"], {name: found[name].value for name in metrics})
    known = [name for name in metrics if all(math.isfinite(table[name]) for table in tables)]
    small = data.task == CLASSIFICATION and data.classes <= MOST_CLASSES
    return Measures(
        test={name: found[name] for name in known},
        confusion=confusion_matrix(predictions, test).tolist() if small else [],
        labels=list(data.labels) if small else [],
        **{kind: {name: values[name] for name in known} for kind, values in others.items()},
    )


def _values(metrics: Mapping[str, Metric], predictions: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    return {name: metric.compute(predictions, truth) for name, metric in metrics.items()}


def _numbers(values: Any) -> dict[str, float]:
    """Return a dict of finite numbers. Raise `TypeError` if it is something else."""
    for value in values.values():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise TypeError
    return dict(values)
