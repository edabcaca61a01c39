"""The stems of convolutional networks: from the image to the first block."""

from collections.abc import Callable
from typing import Any

import keras

from bnzoo.blocks import Parts, chain, convolution
from bnzoo.layers import SymmetricMaxPooling2D

Words = tuple[str, ...]
# (image, filters, parts, words after the last convolution instead of the order's) -> tensor
Stem = Callable[[Any, int, Parts, Words | None], Any]


def _pooled(x: Any) -> Any:
    return SymmetricMaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _imagenet(x: Any, filters: int, parts: Parts, ending: Words | None = None) -> Any:
    return _pooled(chain(x, [convolution(filters, 7, strides=2)], parts, "conv1", ending))


def _zero_padded(x: Any, filters: int, parts: Parts, ending: Words | None = None) -> Any:
    words = parts.order.after if ending is None else ending
    # behind a border of zeros a bias is no longer a constant, so that no norm takes it away
    x = convolution(filters, 7, strides=2)(x, parts, parts.bias((*words, "border")), "conv1")
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(parts.apply(words, x, "conv1"))
    return keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _deep(x: Any, filters: int, parts: Parts, ending: Words | None = None) -> Any:
    narrow = max(1, filters // 2)
    weights = [convolution(narrow, 3, strides=2), convolution(narrow, 3), convolution(filters, 3)]
    return _pooled(chain(x, weights, parts, "conv1", ending))


def _cifar(x: Any, filters: int, parts: Parts, ending: Words | None = None) -> Any:
    return chain(x, [convolution(filters, 3)], parts, "conv1", ending)


# name -> (the stem, its strides)
STEMS: dict[str, tuple[Stem, int]] = {
    "imagenet": (_imagenet, 4),
    "imagenet_zero_pad": (_zero_padded, 4),
    "deep": (_deep, 4),
    "cifar": (_cifar, 1),
}
