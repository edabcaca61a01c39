"""The stems of convolutional networks: from the image to the first block."""

from collections.abc import Callable
from typing import Any

import keras

from bnzoo.blocks import BlockBuilder, convolution, rows
from bnzoo.layers import SymmetricMaxPooling2D

# (image, filters, block builder, operations after the last convolution) -> tensor
Stem = Callable[[Any, int, BlockBuilder, str], Any]


def _imagenet(x: Any, filters: int, build: BlockBuilder, after: str) -> Any:
    return build(x, f"conv {after} pool", [convolution(filters, 7, strides=2)], "conv1", {"pool": _pool})


def _imagenet_zero_pad(x: Any, filters: int, build: BlockBuilder, after: str) -> Any:
    return build(
        x,
        f"conv {after} zero_pad pool",
        [convolution(filters, 7, strides=2)],
        "conv1",
        {
            "zero_pad": lambda x, _: keras.layers.ZeroPadding2D(1, name="pool1_pad")(x),
            "pool": lambda x, _: keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x),
        },
    )


def _deep(x: Any, filters: int, build: BlockBuilder, after: str) -> Any:
    narrow, between = max(1, filters // 2), f"{rows.between(build.row)} {build.start}"
    layers = [convolution(narrow, 3, strides=2), convolution(narrow, 3), convolution(filters, 3)]
    return build(x, f"conv {between} conv {between} conv {after} pool", layers, "conv1", {"pool": _pool})


def _cifar(x: Any, filters: int, build: BlockBuilder, after: str) -> Any:
    return build(x, f"conv {after}", [convolution(filters, 3)], "conv1")


def _pool(x: Any, _: str) -> Any:
    return SymmetricMaxPooling2D(3, strides=2, name="pool1_pool")(x)


# name -> (the stem, its strides)
STEMS: dict[str, tuple[Stem, int]] = {
    "imagenet": (_imagenet, 4),
    "imagenet_zero_pad": (_imagenet_zero_pad, 4),
    "deep": (_deep, 4),
    "cifar": (_cifar, 1),
}
