"""The base of the kinds of batch norm that Keras does not have."""

from typing import Any

import keras
from keras import ops

from bnzoo.layers.arguments import check
from bnzoo.layers.channel_affine import scaled_and_shifted
from bnzoo.layers.moments import along_channels, at_least_float32

# arguments of `keras.layers.BatchNormalization` that make another norm of it, which is a separate layer in bnzoo
OTHER_NORMS = ("synchronized", "renorm", "renorm_clipping", "renorm_momentum")


class BatchStatistics(keras.layers.BatchNormalization):
    """The base of norms that differ from batch norm in training only.

    A frozen layer (`trainable=False`) is in inference mode, as in Keras.

    Args:
        axis: Integer, the axis of the channels.
        momentum: Float from 0 to 1, the weight of the former moving statistics in each update.
        epsilon: Float above 0, added to the variance.
        **kwargs: Arguments of `keras.layers.BatchNormalization`.
    """

    def __init__(self, axis: int = -1, momentum: float = 0.9, epsilon: float = 1e-5, **kwargs: Any) -> None:
        for name in OTHER_NORMS:
            if name in kwargs:
                raise ValueError(
                    f"`{name}` does not apply to {type(self).__name__}: it would make another norm of it. Leave it "
                    f"out. Received: {name}={kwargs[name]!r}"
                )
        super().__init__(axis=axis, momentum=check("momentum", momentum), epsilon=check("epsilon", epsilon), **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalize, in training by the statistics of the batch, else by the moving statistics."""
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        x = at_least_float32(inputs)
        x = self._normalize(x, along_channels(mask, x, self.axis))
        return ops.cast(scaled_and_shifted(self, x), self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer."""
        config = super().get_config()
        return {name: value for name, value in config.items() if name not in OTHER_NORMS}

    def _normalize(self, x: Any, mask: Any) -> Any:
        """Return the normalized tensor, before gamma and beta, and update the moving statistics."""
        raise NotImplementedError
