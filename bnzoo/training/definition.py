"""The definition of a training."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import keras
import numpy as np

from bnzoo.data import Dataset
from bnzoo.training.options import Options
from bnzoo.training.recipe import Recipe
from bnzoo.training.structure import structure_digest

# options of which a training that goes on can have others
_OF_A_CALL = ("deadline", "known_precision")


def definition_of(
    model: keras.Model,
    data: Dataset,
    recipe: Recipe,
    options: Options,
    judging: np.ndarray | None,
    trial: int | None,
    values: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Return everything that determines a training, as JSON. Its initial weights are in its first checkpoint.

    Args:
        model: The model.
        data: The `Dataset`.
        recipe: The `Recipe`.
        options: The `Options`.
        judging: As in `bnzoo.training.session.run`.
        trial: As in `bnzoo.training.session.run`.
        values: As in `bnzoo.training.session.run`.
    """
    chosen = {name: value for name, value in asdict(options).items() if name not in _OF_A_CALL}
    if options.warmup is None:  # a training that began without it goes on
        del chosen["warmup"]
    return {
        "model": {
            "structure": structure_digest(model, recipe.loss),
            "variables": [list(variable.shape) for variable in model.variables],
        },
        "data": {"fingerprint": data.fingerprint, "augment": list(data.augment)},
        "learning_rate": recipe.learning_rate,
        "optimizer": recipe.optimizer,
        **chosen,
        **({} if judging is None else {"validation_examples": len(judging)}),
        **({} if trial is None else {"trial": trial}),
        **({} if values is None else {"values": dict(values)}),
    }
