"""What every family has at its two ends: the input, the classifier, the finished `keras.Model`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from bnzoo.errors import positive_integer


def input_layer(input_tensor: Any, input_shape: tuple | None, default: tuple | None, ranks: dict[int, str]) -> Any:
    """The tensor that a model starts from.

    Args:
        input_tensor: Keras tensor or `None`.
        input_shape: Tuple without the batch dimension, or `None`.
        default: Tuple, the shape where neither is given; `None` if the family has none.
        ranks: The numbers of axes that the family takes, without the batch, and what they are called. The first is
            named in messages.

    Returns:
        A Keras tensor, named `image` or `features` where it is new.

    Raises:
        ValueError: If the shape is missing or has the wrong number of axes.
    """
    shape: Any
    if input_tensor is not None:
        if input_shape is not None and tuple(input_tensor.shape[1:]) != tuple(input_shape):
            raise ValueError(
                "`input_tensor` and `input_shape` contradict each other: give one of them. "
                f"Received: input_tensor of shape {tuple(input_tensor.shape)}, input_shape={input_shape}"
            )
        shape = tuple(input_tensor.shape[1:])
    else:
        if input_shape is None and default is None:
            raise ValueError("`input_shape` is needed: a tuple without the batch dimension. Received: None")
        shape = input_shape if input_shape is not None else default
    if not isinstance(shape, tuple | list) or len(shape) not in ranks:
        raise ValueError(f"`input_shape` must be {' or '.join(ranks.values())}. Received: input_shape={shape}")
    if input_tensor is not None:
        return input_tensor
    return new_input(shape)


def new_input(shape: Sequence[int | None]) -> Any:
    """A new input, named as servers will know it: `image` for three axes, else `features`."""
    return keras.Input(tuple(shape), name="image" if len(shape) == 3 else "features")


def classifier(x: Any, include_top: bool, pooling: str | None, classes: int, classifier_activation: str | None) -> Any:
    """Pooling and logits, as `keras.applications` understands these arguments.

    The activation is a layer of its own, in float32, so that the logits can be reached by name.

    Raises:
        ValueError: If `pooling` is unknown, or given where it does not apply.
    """
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"`pooling` must be 'avg', 'max' or None. Received: pooling={pooling!r}")
    if include_top and pooling is not None:
        raise ValueError(
            "`pooling` is for `include_top=False`; the classifier pools by the average. "
            f"Received: include_top=True, pooling={pooling!r}"
        )
    if len(x.shape) > 2 and (include_top or pooling):
        maximum = pooling == "max"
        layer = keras.layers.GlobalMaxPooling2D if maximum else keras.layers.GlobalAveragePooling2D
        x = layer(name="max_pool" if maximum else "avg_pool")(x)
    if not include_top:
        return x
    x = keras.layers.Dense(positive_integer("classes", classes), name="logits")(x)
    if classifier_activation not in (None, "linear"):
        x = keras.layers.Activation(classifier_activation, dtype="float32", name="probabilities")(x)
    return x


def finished_model(inputs: Any, outputs: Any, name: str, weights: Any) -> keras.Model:
    """The functional model, with its trained weights where a file is given.

    Raises:
        ValueError: If `weights` is neither `None` nor an existing `.weights.h5` file.
    """
    if weights is not None:
        exists = isinstance(weights, str | Path) and Path(weights).is_file()
        if not exists or not str(weights).endswith(".weights.h5"):
            raise ValueError(
                "`weights` must be None or the path of a `.weights.h5` file that Keras has saved. "
                f"Received: weights={weights!r}"
            )
    sources = keras.utils.get_source_inputs(inputs)
    model = keras.Model(sources[0] if len(sources) == 1 else sources, outputs, name=name)
    if weights is not None:
        model.load_weights(weights)
    return model
