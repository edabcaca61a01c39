"""One network in three kinds: plain, residual, and residual with branches that start at zero (SkipInit)."""

from typing import Any, ClassVar

import keras

from bnzoo import blocks
from bnzoo.models import FAMILIES
from bnzoo.models.ends import Head
from bnzoo.norms import Norm
from bnzoo.tuning import MLPSpace, ResNetSpace

KINDS = ("plain", "residual", "skipinit")
FILTERS = 8  # of the first stage of the convolutional networks
_STAGES = 3


class MLPKinds(MLPSpace):
    """Space of multilayer perceptrons with the axis `kind`: plain, residual or SkipInit. Depths are odd."""

    further_options: ClassVar[tuple[str, ...]] = ("kind",)

    def model(self, depth: int, norm: Norm, input_tensor: Any, **options: Any) -> keras.Model:
        """Build the network of a kind."""
        kind = options.pop("kind")
        return super().model(depth, norm, input_tensor, residual=kind != "plain", **_branch(kind), **options)


class ResNetKinds(ResNetSpace):
    """Space of convolutional networks for small images with the axis `kind`: plain, residual or SkipInit."""

    further_options: ClassVar[tuple[str, ...]] = ("kind",)

    def model(self, depth: int, norm: Norm, input_tensor: Any, **options: Any) -> keras.Model:
        """Build the network of a kind."""
        kind = options.pop("kind")
        if kind == "plain":
            return plain_network(depth, norm, input_tensor, classes=self.classes, **options)
        return super().model(depth, norm, input_tensor, **_branch(kind), **options)


def _branch(kind: str) -> dict[str, Any]:
    return {"residual_init": "skipinit"} if kind == "skipinit" else {}


def plain_network(
    depth: int, norm: Any, input_tensor: Any, *, placement: str, activation: Any, filters: int, classes: int
) -> keras.Model:
    """Build the plain network of He et al. 2015, section 4.2: the convolutions of `ResNetCifar` without its shortcuts.

    Args:
        depth: Integer, 6n+2.
        norm: The norm, as in `bnzoo.ResNet`.
        input_tensor: Keras tensor, images.
        placement: String. Without shortcuts `"pre"` and `"post"` are the same function.
        activation: Any Keras activation.
        filters: Integer, the channels of the first stage.
        classes: Integer.
    """
    build = blocks.block_builder("resnet", FAMILIES["resnet"].placements, norm, placement, activation)
    after = blocks.rows.between(build.row)
    x = build(input_tensor, f"conv {after}", [blocks.convolution(filters, 3)], "conv1")
    of_stage = (depth - 2) // _STAGES
    for i in range(depth - 2):
        stage, position = divmod(i, of_stage)
        layer = blocks.convolution(filters * 2**stage, 3, strides=2 if stage and not position else 1)
        x = build(x, f"{build.start} conv {after}", [layer], f"conv{stage + 2}_{position + 1}")
    x = build(x, build.start, [], "final")
    head = Head(True, None, classes, None, features=False)
    return keras.Model(keras.utils.get_source_inputs(input_tensor)[0], head.outputs(x, {}), name=f"plain{depth}")
