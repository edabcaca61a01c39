"""The families of the zoo. Names, lists in messages and spaces follow from these records.

The star imports make the builders of each family public.
"""

import math
from collections.abc import Mapping
from typing import Any

from bnzoo.errors import positive_integer
from bnzoo.models import densenet, mlp, resnet, resnet_cifar, resnet_variants, vit
from bnzoo.models.densenet import *  # noqa: F403
from bnzoo.models.family import Family
from bnzoo.models.mlp import *  # noqa: F403
from bnzoo.models.resnet import *  # noqa: F403
from bnzoo.models.resnet_cifar import *  # noqa: F403
from bnzoo.models.resnet_variants import *  # noqa: F403
from bnzoo.models.vit import *  # noqa: F403

Sides = tuple[int | None, ...]
Options = Mapping[str, Any]

# The patch size of a search leaves at most this many tokens.
TOKENS = 64


def _resnet_parameters(depth: int, options: Options, input_shape: Sides, classes: int) -> float:
    """Estimate the number from 3x3 convolutions in three stages of equal depth, each twice as wide as the last."""
    width = options.get("filters", 16) * options.get("widen_factor", 1)
    return depth / 3 * 9 * (1 + 4 + 16) * width**2


def _densenet_parameters(depth: int, options: Options, input_shape: Sides, classes: int) -> float:
    """Estimate the number from layers that read the channels of all layers before."""
    rate, filters = options.get("growth_rate", 12), options.get("filters", 16)
    if options.get("bottleneck") is False:
        return 9 * rate * depth * (filters + rate * depth / 2)
    return 4 * rate * depth / 2 * (filters + rate * depth / 4 + 9 * rate)


def _vit_parameters(depth: int, options: Options, input_shape: Sides, classes: int) -> float:
    """Estimate the number from self-attention, the feed-forward networks and the patch embedding."""
    width, patch = options.get("width", 64), options.get("patch_size", 0)
    blocks = depth * (4 + 2 * options.get("mlp_ratio", 4)) * width**2
    return blocks + width * (patch**2 * (input_shape[-1] or 1) + _size(input_shape[:2]))


def _mlp_parameters(depth: int, options: Options, input_shape: Sides, classes: int) -> float:
    """Estimate the number from dense layers of equal width."""
    width = options.get("width", 128)
    return width * (_size(input_shape) + depth * width + max(classes, 1))


def _size(sides: Sides) -> int:
    return math.prod(side or 1 for side in sides)


def _patch_size(input_shape: Sides) -> dict[str, Any]:
    """Return the smallest patch size, from 2 on, that leaves at most 64 tokens."""
    if len(input_shape) != 3 or None in input_shape[:2]:
        return {}
    height, width = (side or 0 for side in input_shape[:2])
    divisors = (side for side in range(2, min(height, width) + 1) if height % side == width % side == 0)
    patch_size = next((side for side in divisors if height * width <= TOKENS * side**2), None)
    if patch_size is None or height * width == patch_size**2:
        raise ValueError(
            f"No patch size divides images of {height}x{width} into 2 to {TOKENS} patches: pass `patch_size=`, or "
            "images of another size"
        )
    return {"patch_size": patch_size}


_RECORDS = (
    Family(
        name="mlp",
        builders=(mlp.MLP,),
        variants=(mlp,),
        by_depth=mlp.MLP,
        placements=mlp.MLP_PLACEMENTS,
        check_depth=lambda depth, options: mlp.check_depth(depth, options.get("residual", False)),
        parameters=_mlp_parameters,
        images=False,
        searchable_options=("width", "residual", "residual_init", "branch_scale", "drop_path_rate", "dropout_rate"),
        size_options=("width",),
    ),
    Family(
        name="resnet",
        builders=(resnet.ResNet, resnet_cifar.ResNetCifar, resnet_cifar.WideResNetCifar),
        variants=(resnet_variants, resnet_cifar),
        by_depth=resnet_cifar.ResNetCifar,
        placements=resnet.RESNET_PLACEMENTS,
        check_depth=lambda depth, options: resnet_cifar.cifar_blocks(depth, options.get("block", "basic")),
        parameters=_resnet_parameters,
        searchable_options=(
            "filters",
            "widen_factor",
            "residual_init",
            "branch_scale",
            "drop_path_rate",
            "dropout_rate",
        ),
        size_options=("filters", "widen_factor"),
        default_depths=(8, 14, 20),
        default_placement="post",  # the accuracy is that of "pre", and all of its batch norms fold
    ),
    Family(
        name="densenet",
        builders=(densenet.DenseNet, densenet.DenseNetCifar),
        variants=(densenet,),
        by_depth=densenet.DenseNetCifar,
        placements=densenet.DENSE_ROWS,
        check_depth=lambda depth, options: densenet.cifar_layers(depth, options.get("bottleneck", True)),
        parameters=_densenet_parameters,
        searchable_options=("growth_rate", "compression", "dropout_rate"),
        size_options=("growth_rate", "filters"),
        default_depths=(10, 16, 22),
    ),
    Family(
        name="vit",
        builders=(vit.ViT,),
        variants=(vit,),
        by_depth=vit.ViT,
        placements=vit.TRANSFORMER_ROWS,
        check_depth=lambda depth, options: positive_integer("depth", depth),
        parameters=_vit_parameters,
        searchable_options=(
            "patch_size",
            "width",
            "heads",
            "mlp_ratio",
            "residual_init",
            "branch_scale",
            "layer_scale_init",
            "drop_path_rate",
            "dropout_rate",
        ),
        size_options=("width", "mlp_ratio"),
        default_norms=("layer", "batch"),
        default_activation="gelu",
        default_optimizer="adamw",
        default_options={"width": 64, "heads": 4},
        options_for=_patch_size,
    ),
)

FAMILIES = {family.name: family for family in _RECORDS}
