"""The outputs for a batch as the columns of a table."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from bnzoo.export.signatures import LABEL_LOGITS, PREDICTION
from bnzoo.predicting.examples import Batch
from bnzoo.predicting.predictor import Arrays

# a name, and a value for each example
Column = tuple[str, Sequence[Any] | np.ndarray]
_PROBABILITIES = "probabilities"


class Answers(NamedTuple):
    """The predictions for a batch.

    Attributes:
        columns: List of columns: `input`; `row` for tables and arrays; `label` and `probability` of the most probable
            class, the probability of each of several labels, or the other outputs of the model; `error` for image
            files. Values of a file with an error are empty.
        classes: List of columns, the probability of each class.
    """

    columns: list[Column]
    classes: list[Column]


def answers(batch: Batch, outputs: Arrays, labels: Sequence[str] | None) -> Answers:
    """Return the predictions for a batch.

    Args:
        batch: The `Batch`.
        outputs: Dict of the outputs of the model by name.
        labels: Sequence of strings, the names of the classes, labels or targets, or `None` for numbers.

    Raises:
        ValueError: If an output is no table.
    """
    columns: list[Column] = [("input", batch.names)]
    if batch.rows is not None:
        columns.append(("row", batch.rows))
    classes: list[Column] = []
    probabilities = outputs.get(_PROBABILITIES)
    if probabilities is not None and probabilities.ndim == 2:
        names = [str(label) for label in labels or range(probabilities.shape[-1])]
        classes = [(f"probability of {name}", values) for name, values in zip(names, probabilities.T, strict=True)]
        if LABEL_LOGITS in outputs:
            columns, classes = columns + classes, []
        else:
            best = probabilities.argmax(-1)
            columns += [("label", [names[i] for i in best]), ("probability", probabilities.max(-1))]
    elif labels and PREDICTION in outputs and outputs[PREDICTION].ndim == 2:
        columns += [(f"prediction of {name}", v) for name, v in zip(labels, outputs[PREDICTION].T, strict=True)]
    else:
        columns += _others({name: values for name, values in outputs.items() if name != "error"})
    if batch.rows is None:
        errors = _errors(batch, outputs)
        failed = [bool(error) for error in errors]
        first, *others = columns
        columns = [first, *_without(others, failed), ("error", errors)]
        classes = _without(classes, failed)
    return Answers(columns, classes)


def _errors(batch: Batch, outputs: Arrays) -> list[str]:
    # without the number of the file in the batch
    reasons = [error.decode("utf-8", "replace").partition(": ")[2] for error in outputs["error"]]
    return [batch.problems.get(number, reason) for number, reason in enumerate(reasons)]


def _others(outputs: Arrays) -> Iterable[Column]:
    for name, values in outputs.items():
        if values.ndim > 2:
            raise ValueError(
                f"the output {name!r} has the shape {values.shape}, which fits into no row. Call the model in Python"
            )
        parts = np.atleast_2d(values.T)
        if len(outputs) == len(parts) == 1:
            yield "prediction", parts[0]
        else:
            for number, part in enumerate(parts):
                yield f"{name}[{number}]" if len(parts) > 1 else name, part


def _without(columns: Iterable[Column], failed: Sequence[bool]) -> list[Column]:
    return [(name, ["" if no else v for v, no in zip(values, failed, strict=True)]) for name, values in columns]
