"""Loss and metric of a regression on standardized values: of several targets, and where squares overflow float32."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="bnzoo")
class StandardSquaredError(keras.losses.Loss):
    """The squared error divided by the variance of the target.

    It equals `keras.losses.MeanSquaredError` with a weight of `1 / deviation**2`, unless a square overflows.

    Args:
        deviation: Float, the standard deviation of the target, or list of those of several targets.
        **kwargs: Arguments of `keras.losses.Loss`.
    """

    def __init__(self, deviation: float | list[float], name: str = "standard_squared_error", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.deviation = deviation

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the error of each example."""
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.cast(y_true, y_pred.dtype)
        deviation = ops.convert_to_tensor(self.deviation, y_pred.dtype)
        return keras.losses.mean_squared_error(y_true / deviation, y_pred / deviation)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the loss."""
        return {**super().get_config(), "deviation": self.deviation}


@keras.saving.register_keras_serializable(package="bnzoo")
class StandardR2Score(keras.metrics.R2Score):
    """`keras.metrics.R2Score` of the standardized target, which equals that of the target.

    Args:
        mean: Float, the mean of the target, or list of those of several targets.
        deviation: Float, the standard deviation of the target, or list.
        **kwargs: Arguments of `keras.metrics.R2Score`.
    """

    def __init__(self, mean: float | list[float], deviation: float | list[float], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mean, self.deviation = mean, deviation

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add up the errors of a batch."""
        mean, deviation = (ops.convert_to_tensor(part, self.dtype) for part in (self.mean, self.deviation))
        sides = ((ops.cast(side, self.dtype) - mean) / deviation for side in (y_true, y_pred))
        super().update_state(*sides, sample_weight=sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the metric."""
        return {**super().get_config(), "mean": self.mean, "deviation": self.deviation}
