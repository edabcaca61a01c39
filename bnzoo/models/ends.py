"""The two ends of every network: the input, and the head with the finished `keras.Model`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from bnzoo.errors import positive_integer
from bnzoo.layers.axes import channel_axis, position_axes

IMAGES = {3: "(height, width, channels)"}


def image_shape(side: int) -> tuple[int, int, int]:
    """Return the shape of square color images in the order of `keras.config.image_data_format()`."""
    return (3, side, side) if channel_axis(4) == 1 else (side, side, 3)


def input_layer(input_tensor: Any, input_shape: tuple | None, default: tuple | None, ranks: Mapping[int, str]) -> Any:
    """Return the input tensor of a model.

    Args:
        input_tensor: Keras tensor or `None`.
        input_shape: Tuple without the batch dimension, or `None`.
        default: Tuple, the shape if neither is given; `None` if the family has no default.
        ranks: Dict from each allowed number of axes, without the batch dimension, to their names for messages.

    Returns:
        A Keras tensor. A new one is named `image` or `features`.

    Raises:
        ValueError: If the shape is missing, invalid, or has the wrong number of axes.
    """
    if input_tensor is None:
        if input_shape is None and default is None:
            raise ValueError("`input_shape` is needed: a tuple without the batch dimension. Received: None")
        return new_input(_checked(default if input_shape is None else input_shape, ranks))
    if not isinstance(input_tensor, keras.KerasTensor):
        raise ValueError(
            "`input_tensor` must be a Keras tensor, as `keras.Input(shape)` returns it. "
            f"Received: {type(input_tensor).__name__}"
        )
    shape = tuple(input_tensor.shape[1:])
    if input_shape is not None and shape != tuple(input_shape):
        raise ValueError(
            "`input_tensor` and `input_shape` contradict each other: give one of them. "
            f"Received: input_tensor of shape {tuple(input_tensor.shape)}, input_shape={input_shape}"
        )
    _checked(shape, ranks)
    return input_tensor


def _checked(shape: Any, ranks: Mapping[int, str]) -> tuple[int | None, ...]:
    if not isinstance(shape, tuple | list) or len(shape) not in ranks:
        raise ValueError(f"`input_shape` must be {' or '.join(ranks.values())}. Received: input_shape={shape}")
    if any(size is not None and (not isinstance(size, int) or size < 1) for size in shape):
        raise ValueError(f"`input_shape` must hold positive integers. Received: input_shape={shape}")
    if (None, *shape)[channel_axis(len(shape) + 1)] is None:
        raise ValueError(f"`input_shape` must state the number of channels. Received: input_shape={shape}")
    return tuple(shape)


def new_input(shape: Sequence[int | None]) -> Any:
    """Return a new input. Its name, `image` for three axes and `features` otherwise, is that in served models."""
    return keras.Input(tuple(shape), name="image" if len(shape) == 3 else "features")


def image_sides(x: Any) -> list[int | None]:
    """Return the height and the width of images."""
    return [x.shape[axis] for axis in position_axes(4, channel_axis(4))]


def check_image_size(x: Any, strides: int) -> None:
    """Raise `ValueError` if an image is smaller than the product of all strides."""
    if any(size is not None and size < strides for size in image_sides(x)):
        raise ValueError(
            f"The image is too small: this network has strides of {strides} in all, so each side must be at least "
            f"{strides}. Use stem='cifar' or fewer stages. Received: an input of shape {tuple(x.shape[1:])}"
        )


def pyramid_level(strides: int) -> str:
    """Return the name of the output of a stage, as in feature pyramids: the sides of `P3` are 1/8 of the image's."""
    return f"P{strides.bit_length() - 1}"


@dataclass(frozen=True)
class Head:
    """The outputs of a model: probabilities, pooled or plain features, or the outputs of its stages.

    Raises:
        ValueError: If an argument is unknown, or does not apply.
    """

    include_top: bool
    pooling: str | None
    classes: int
    classifier_activation: Any
    features: bool
    kernel_regularizer: Any = None

    def __post_init__(self) -> None:
        if self.pooling not in (None, "avg", "max"):
            raise ValueError(f"`pooling` must be 'avg', 'max' or None. Received: pooling={self.pooling!r}")
        if self.include_top and self.pooling is not None:
            raise ValueError(
                "`pooling` is for `include_top=False`; the classifier pools by the average. "
                f"Received: include_top=True, pooling={self.pooling!r}"
            )
        if self.features and (self.include_top or self.pooling):
            raise ValueError(
                "`features=True` returns the outputs of the stages: pass include_top=False and no `pooling`. "
                f"Received: include_top={self.include_top}, pooling={self.pooling!r}"
            )
        if self.include_top:
            positive_integer("classes", self.classes)

    def outputs(self, x: Any, stages: Mapping[str, Any]) -> Any:
        """Return the outputs.

        Args:
            x: Tensor, the last features: vectors, images or tokens.
            stages: Dict from the names of the stages to their outputs, of which the last is `x`.
        """
        if self.features:
            return dict(stages)
        if self.include_top or self.pooling:
            x = self._pooled(x)
        return self._classified(x) if self.include_top else x

    def _pooled(self, x: Any) -> Any:
        maximum, rank = self.pooling == "max", len(x.shape)
        name = "max_pool" if maximum else "avg_pool"
        if rank == 4:
            layer = keras.layers.GlobalMaxPooling2D if maximum else keras.layers.GlobalAveragePooling2D
            return layer(name=name)(x)
        if rank == 3:  # tokens, whose channels are last whatever the format of images
            layer = keras.layers.GlobalMaxPooling1D if maximum else keras.layers.GlobalAveragePooling1D
            return layer(data_format="channels_last", name=name)(x)
        return x

    def _classified(self, x: Any) -> Any:
        x = keras.layers.Dense(self.classes, kernel_regularizer=self.kernel_regularizer, name="logits")(x)
        if self.classifier_activation in (None, "linear"):
            return x
        # A separate layer keeps the logits accessible by name. Probabilities have at least the precision of float32.
        narrow = keras.config.dtype_policy().compute_dtype in ("float16", "bfloat16")
        dtype = "float32" if narrow else None
        return keras.layers.Activation(self.classifier_activation, dtype=dtype, name="probabilities")(x)


def finished_model(inputs: Any, outputs: Any, name: str, weights: Any) -> keras.Model:
    """Return the functional model, with the weights of the file if one is given.

    Raises:
        ValueError: If `weights` is neither `None` nor an existing `.weights.h5` file.
    """
    if weights is not None:
        exists = isinstance(weights, str | Path) and Path(weights).is_file()
        if not exists or not str(weights).endswith(".weights.h5"):
            raise ValueError(
                "`weights` must be None or the path of a `.weights.h5` file that Keras has saved from this model; "
                "'imagenet' for the networks that `bnzoo.weights.imagenet` knows. For other files there are "
                "`bnzoo.weights.from_keras_applications` and `bnzoo.weights.from_torch`. "
                f"Received: weights={weights!r}"
            )
    sources = keras.utils.get_source_inputs(inputs)
    model = keras.Model(sources[0] if len(sources) == 1 else sources, outputs, name=name)
    if weights is not None:
        model.load_weights(weights)
    return model
