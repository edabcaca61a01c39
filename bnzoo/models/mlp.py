"""The multilayer perceptron, plain and residual, for tables and for small images."""

from typing import Any

import keras

from bnzoo.blocks import Parts, dense, residual_block
from bnzoo.errors import positive_integer
from bnzoo.models.ends import classifier, finished_model, input_layer


def _plain(x: Any, depth: int, width: int, parts: Parts) -> Any:
    order = parts.order
    for i in range(1, depth + 1):
        if i > 1:
            x = parts.apply(order.before, x, f"hidden{i}")
        x = dense(width)(x, parts.bias(order.after), f"hidden{i}")
        x = parts.apply(order.after, x, f"hidden{i}")
    return x


def _residual(x: Any, depth: int, width: int, parts: Parts) -> Any:
    x = _plain(x, 1, width, parts)
    for i in range(1, (depth - 1) // 2 + 1):
        x = residual_block(x, [dense(width), dense(width)], parts, f"block{i}", first=i == 1)
    return x


def MLP(
    depth: int = 3,
    width: int = 128,
    include_top: bool = True,
    weights: Any = None,
    input_tensor: Any = None,
    input_shape: tuple | None = None,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "mlp",
    *,
    norm: Any = "batch",
    placement: str = "post",
    activation: Any = "relu",
    residual: bool = False,
) -> keras.Model:
    """A multilayer perceptron.

    Args:
        depth: Integer, the number of hidden layers. Residual: odd, one layer and then blocks of two.
        width: Integer, the number of units of each hidden layer.
        include_top: Boolean, whether the classifier is part of the model.
        weights: `None` (random) or the path of a `.weights.h5` file.
        input_tensor: Keras tensor to start from, instead of a new input.
        input_shape: Tuple `(features,)`, or `(height, width, channels)` of images, which are flattened.
        classes: Integer, the number of classes.
        classifier_activation: String or `None` (logits).
        name: String, the name of the model.
        norm: What normalizes: a name of `bnzoo.norms.list_norms()`, a dict, a `bnzoo.Norm` or `None`.
        placement: Where it stands: `"post"` (linear, norm, activation), `"pre"` (norm, activation, linear) or
            `"act_norm"` (linear, activation, norm). Without shortcuts `"post"` and `"pre"` are the same function.
        activation: Any activation of Keras.
        residual: Boolean, whether shortcuts pass over every two layers after the first.

    Returns:
        A functional `keras.Model` with input `features` (or `image`) and output of shape `(batch, classes)`.

    Raises:
        ValueError: If an argument is unknown or impossible.

    Examples:
    >>> model = bnzoo.MLP(depth=4, width=64, input_shape=(13,), classes=3, norm="layer", placement="act_norm")
    """
    positive_integer("depth", depth)
    positive_integer("width", width)
    if residual and depth % 2 == 0:
        raise ValueError(
            "`depth` of a residual MLP must be odd: one hidden layer, then blocks of two. "
            f"Received: depth={depth}, residual=True"
        )
    parts = Parts.bind("mlp", norm, placement, activation)
    inputs = input_layer(input_tensor, input_shape, None, {1: "(features,)", 3: "(height, width, channels)"})
    x = keras.layers.Flatten(name="flatten")(inputs) if len(inputs.shape) > 2 else inputs
    x = (_residual if residual else _plain)(x, depth, width, parts)
    x = parts.apply(parts.order.final, x, "final")
    x = classifier(x, include_top, None, classes, classifier_activation)
    return finished_model(inputs, x, name, weights)
