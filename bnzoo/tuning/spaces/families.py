"""The families, and what depth means in each."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from bnzoo.errors import positive_integer
from bnzoo.models import MLP, DenseNetCifar, ResNetCifar, ViT
from bnzoo.models.arguments import stage_depth
from bnzoo.tuning.spaces.space import Space

# a ViT for small images has this many tokens at most, unless it is given a patch size
TOKENS = 64


class ResNetSpace(Space):
    """Residual networks for small images, of depth 6n+2, or 9n+2 with `block="bottleneck"`.

    See `Space` for the arguments; the options are those of `bnzoo.ResNetCifar`.

    Examples:
    >>> space = bnzoo.tuning.ResNetSpace(depths=(8, 14, 20), learning_rates=(1e-3, 3.0), norms=("batch", None))
    """

    family = "resnet"
    builder = staticmethod(ResNetCifar)
    searchable_options = ("filters", "widen_factor", "residual_init", "drop_path_rate", "dropout_rate")
    size_options = ("filters", "widen_factor")
    default_depths = (8, 14, 20)

    def check_depth(self, depth: int) -> None:
        """The depth must be 6n+2, or 9n+2."""
        _staged(depth, 9 if "bottleneck" in self.values_of("block") else 6, 2)

    def parameters(self) -> float:
        """Estimate them from 3x3 convolutions in three stages of equal depth, each twice as wide as the one before."""
        width = self.largest("filters", 16) * self.largest("widen_factor", 1)
        return max(self.depths) / 3 * 9 * (1 + 4 + 16) * width**2


class DenseNetSpace(Space):
    """DenseNets for small images: three dense blocks of n layers each, of depth 6n+4, or 3n+4 with `bottleneck=False`.

    The depth is L of the paper. See `Space` for the arguments; the options are those of `bnzoo.DenseNetCifar`.

    Examples:
    >>> space = bnzoo.tuning.DenseNetSpace(depths=(10, 16, 22), growth_rate=(8, 12))
    """

    family = "densenet"
    builder = staticmethod(DenseNetCifar)
    searchable_options = ("growth_rate", "compression", "dropout_rate")
    size_options = ("growth_rate", "filters")
    default_depths = (10, 16, 22)

    def check_depth(self, depth: int) -> None:
        """The depth must be 6n+4, or 3n+4."""
        _staged(depth, 3 if False in self.values_of("bottleneck") else 6, 4)

    def parameters(self) -> float:
        """Estimate them from layers that read the channels of all before: 3x3 convolutions, or bottlenecks."""
        depth, rate, filters = max(self.depths), self.largest("growth_rate", 12), self.largest("filters", 16)
        if False in self.values_of("bottleneck"):
            return 9 * rate * depth * (filters + rate * depth / 2)
        return 4 * rate * depth / 2 * (filters + rate * depth / 4 + 9 * rate)


class ViTSpace(Space):
    """Vision transformers for small images, depth being the number of blocks; they are trained with AdamW.

    See `Space` for the arguments; the options are those of `bnzoo.ViT`. Here `width` is 64 and `heads` 4 by default,
    and `patch_size` the smallest, from 2 on, that cuts the image into at most 64 patches: 2 for 8x8, 4 for 32x32.

    Examples:
    >>> space = bnzoo.tuning.ViTSpace(depths=(2, 4, 8), norms=("layer", "rms", "batch"), width=(64, 96))
    """

    family = "vit"
    builder = staticmethod(ViT)
    searchable_options = (
        "patch_size",
        "width",
        "heads",
        "mlp_ratio",
        "residual_init",
        "layer_scale_init",
        "drop_path_rate",
        "dropout_rate",
    )
    size_options = ("width", "mlp_ratio")
    default_depths = (2, 4, 8)
    default_norms = ("layer", "batch")
    default_activation = "gelu"
    default_optimizer = "adamw"
    default_options: ClassVar[dict[str, Any]] = {"width": 64, "heads": 4}

    def check_depth(self, depth: int) -> None:
        """The depth must be positive."""
        positive_integer("depths", depth)

    def parameters(self) -> float:
        """Estimate them from the attention and the feed-forward network of each block, and the patches."""
        width, patch = self.largest("width", 64), self.largest("patch_size", 0)
        blocks = max(self.depths) * (4 + 2 * self.largest("mlp_ratio", 4)) * width**2
        return blocks + width * (patch**2 * self.input_shape[-1] + _size(self.input_shape[:2]))

    def shape_options(self) -> dict[str, Any]:
        """The patch size for the data, unless it is given."""
        if self.values_of("patch_size") or self.input_shape is None or len(self.input_shape) != 3:
            return {}
        height, width = self.input_shape[:2]
        divisors = (side for side in range(2, min(height, width) + 1) if height % side == width % side == 0)
        found = next((side for side in divisors if height * width <= TOKENS * side**2), None)
        if found is None or height * width == found**2:
            raise ValueError(
                f"No patch size cuts images of {height}x{width} into 2 to {TOKENS} patches: pass `patch_size=`, or "
                "images of another size"
            )
        return {"patch_size": found}


class MLPSpace(Space):
    """Multilayer perceptrons, depth being the number of hidden layers.

    See `Space` for the arguments; the options are those of `bnzoo.MLP`.

    Examples:
    >>> space = bnzoo.tuning.MLPSpace(depths=(2, 4, 8), norms=("batch", "layer", None), width=(64, 256))
    """

    family = "mlp"
    builder = staticmethod(MLP)
    searchable_options = ("width", "residual", "residual_init", "drop_path_rate", "dropout_rate")
    size_options = ("width",)
    needs_images = False
    default_depths = (2, 4, 8)

    def check_depth(self, depth: int) -> None:
        """The depth must be positive, and odd if residual."""
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
            raise ValueError(f"`depths` of MLPs must be positive integers. Received: {depth!r}")
        if True in self.values_of("residual") and depth % 2 == 0:
            raise ValueError(f"`depths` of residual MLPs must be odd: one layer, then blocks of two. Received: {depth}")

    def parameters(self) -> float:
        """Estimate them from dense layers of equal width."""
        width = self.largest("width", 128)
        return width * (_size(self.input_shape) + max(self.depths) * width + max(self.classes, 1))


def _size(sides: Sequence[int | None]) -> int:
    return math.prod(side or 1 for side in sides)


def _staged(depth: Any, step: int, rest: int) -> None:
    try:
        stage_depth(depth, step, rest)
    except ValueError as error:
        raise ValueError(f"In `depths`, {error}") from None
