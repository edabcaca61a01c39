"""The comparison of two models by their losses on the same examples."""

from typing import Any

import keras
import numpy as np

# the standard errors of the mean difference beyond which it is not explained by chance
_ERRORS = 2.0


def losses_of(model: keras.Model, batches: Any) -> np.ndarray:
    """Return the loss of each example.

    Args:
        model: The model, compiled with one loss.
        batches: The batches of inputs, targets and, optionally, weights.
    """
    loss = keras.losses.get(model.loss)
    each = loss.call if isinstance(loss, keras.losses.Loss) else loss
    found = []
    for x, y, *weights in batches:
        values = keras.ops.convert_to_numpy(each(y, model.predict_on_batch(x)))
        found.append(values * np.asarray(weights[0]) if weights else values)
    return np.concatenate(found)


def clearly_lower(losses: np.ndarray, others: np.ndarray) -> bool:
    """Return whether the mean of losses is lower by more than two standard errors of the paired differences.

    Args:
        losses: Array, the loss of each example.
        others: Array, the losses of the same examples with another model. Those of a model that diverged are not
            finite, and higher than all others.
    """
    if not np.isfinite(losses).all():
        return False
    differences = others - losses
    if not np.isfinite(differences).all():
        return True
    return bool(differences.mean() > _ERRORS * differences.std() / len(differences) ** 0.5)
