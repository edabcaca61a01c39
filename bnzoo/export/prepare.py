"""Preparation of a model for export: checks, float32, folding."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from bnzoo.keras_internals import functional_model
from bnzoo.tools import FoldReport, fold_batch_norm

# the largest difference that roundings to 16 bits in many layers explain, relative to the largest output
_ROUNDING = 0.1


def check(model: Any, labels: Sequence[str] | None) -> None:
    """Check that a model can be exported, and that the labels fit its classes.

    Raises:
        ValueError: If the model or the labels are refused.
    """
    if not isinstance(model, keras.Model) or functional_model(model) is None:
        raise ValueError(
            "`model` must be a built functional or Sequential `keras.Model`. "
            f"Received: {type(model).__name__}. Convert a subclassed model with `keras.Model(x, model(x))`, where "
            "`x = keras.Input(...)`, and build a Sequential model with `model.build(shape)`"
        )
    if labels is not None:
        if isinstance(labels, str) or not all(_is_one_line(str(label)) for label in labels):
            raise ValueError(f"`labels` must be a sequence of strings without line breaks. Received: {labels!r}")
        classes = model.outputs[0].shape[-1]
        if len(model.outputs) != 1 or classes != len(labels):
            raise ValueError(
                "`labels` must name the classes of a model with one output. "
                f"Received: {len(labels)} labels for {classes} classes and {len(model.outputs)} outputs"
            )


def _is_one_line(label: str) -> bool:
    """Return whether a label fits into a line of a file, whose readers may honour any line break of Unicode."""
    return "".join(label.splitlines()) == label and not any("\ud800" <= letter <= "\udfff" for letter in label)


def check_rounding(original: dict[str, np.ndarray], copy: dict[str, np.ndarray]) -> None:
    """Check that the outputs of a model and of its copy in float32 differ by roundings only.

    Raises:
        RuntimeError: If the difference is larger.
    """
    for name, values in original.items():
        wide = values.astype(np.float64)
        difference = np.abs(wide - copy[name]).max(initial=0)
        if not difference <= _ROUNDING * np.abs(wide).max(initial=0):
            raise RuntimeError(
                f"The output {name!r} of the model in float32 differs by {difference:.2g} from that of `model`, more "
                "than roundings explain. Build the model in float32, and load its weights"
            )


def folded(model: keras.Model, fold: bool) -> tuple[keras.Model, FoldReport]:
    """Return the model, with its batch norms folded if `fold` is true, and the report on that."""
    return fold_batch_norm(model) if fold else (model, FoldReport())
