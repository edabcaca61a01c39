"""Loss and metric of a classification for classes, and for rows of shares, which MixUp and CutMix make of them."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bnzoo")
class MixedCrossentropy(keras.losses.Loss):
    """The cross-entropy of logits with classes, or with rows of shares.

    Args:
        **kwargs: Arguments of `keras.losses.Loss`.
    """

    def __init__(self, name: str = "mixed_crossentropy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the cross-entropy of each example."""
        if _has_shares(y_true, y_pred):
            return keras.losses.categorical_crossentropy(y_true, y_pred, from_logits=True)
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


@keras.saving.register_keras_serializable(package="bnzoo")
class MixedAccuracy(keras.metrics.Mean):
    """The share of examples whose class, or class with the largest share, gets the largest logit.

    Args:
        **kwargs: Arguments of `keras.metrics.Mean`.
    """

    def __init__(self, name: str = "accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Add up the correct examples of a batch."""
        classes = ops.argmax(y_true, axis=-1) if _has_shares(y_true, y_pred) else ops.reshape(y_true, (-1,))
        correct = ops.equal(ops.cast(classes, "int32"), ops.cast(ops.argmax(y_pred, axis=-1), "int32"))
        return super().update_state(ops.cast(correct, self.dtype), sample_weight)


def _has_shares(y_true: Any, y_pred: Any) -> bool:
    return len(y_true.shape) == len(y_pred.shape) and y_true.shape[-1] == y_pred.shape[-1]
