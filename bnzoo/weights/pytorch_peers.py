"""The networks of torchvision and timm, with their builders and arguments in bnzoo."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bnzoo.weights.pytorch_names import BIT, DENSENET, RESNET, RESNET_D, RESNET_V2, VIT_TIMM, VIT_TORCHVISION
from bnzoo.weights.translation import Naming


@dataclass(frozen=True)
class Peer:
    """A network of torchvision or timm.

    Attributes:
        base: String, a name of `bnzoo.list_models()`.
        naming: The names of its tensors.
        options: Dict, the arguments of that builder that the weights were trained with.
        side: Integer, the height and width of the images.
    """

    base: str
    naming: Naming
    options: Mapping[str, Any] = field(default_factory=dict)
    side: int = 224


_BATCH = {"name": "batch", "epsilon": 1e-5, "momentum": 0.9}
_GROUP = {"name": "group", "groups": 32, "epsilon": 1e-5}
_POST = {"norm": _BATCH, "placement": "post", "activation": "relu"}
_PRE = {**_POST, "placement": "pre"}
_D = {"stem": "deep", "shortcut": "avg_projection"}
_SE = {"se_ratio": 1 / 16}
_BIT = {**_PRE, "norm": _GROUP, "stem": "imagenet_zero_pad", "weight_standardization": True}
_VIT = {"norm": {"name": "layer", "epsilon": 1e-6}, "placement": "pre", "activation": "gelu", "class_token": True}
_PATCH_8 = {**_VIT, "patch_size": 8}
_PATCH_32 = {**_VIT, "patch_size": 32}
_DINO = {**_VIT, "patch_size": 14, "layer_scale_init": 1e-5}
_HUGE = {**_VIT, "patch_size": 14, "depth": 32, "width": 1280, "heads": 16}

_DEPTHS = (18, 34, 50, 101, 152)
# name -> (depth, groups, channels of a group)
_GROUPED = {
    "resnext50_32x4d": (50, 32, 4),
    "resnext101_32x4d": (101, 32, 4),
    "resnext101_32x8d": (101, 32, 8),
    "resnext101_64x4d": (101, 64, 4),
    "wide_resnet50_2": (50, 1, 128),
    "wide_resnet101_2": (101, 1, 128),
}
# name -> (depth, width)
_BITS = {f"resnetv2_{d}x{k}_bit": (d, k) for d, k in ((50, 1), (50, 3), (101, 1), (101, 3), (152, 2), (152, 4))}

PEERS: dict[str, Peer] = {
    **{f"resnet{d}": Peer(f"resnet{d}", RESNET, _POST) for d in _DEPTHS},
    **{f"resnet{d}d": Peer(f"resnet{d}", RESNET_D, {**_POST, **_D}) for d in _DEPTHS},
    **{
        name: Peer(f"resnet{d}", RESNET, {**_POST, "groups": groups, "width_per_group": width})
        for name, (d, groups, width) in _GROUPED.items()
    },
    # without timm's 18 and 34, which round the gates of their narrow blocks up to 8 channels
    **{f"seresnet{d}": Peer(f"resnet{d}", RESNET, {**_POST, **_SE}) for d in (50, 101, 152)},
    "seresnext50_32x4d": Peer("resnet50", RESNET, {**_POST, **_SE, "groups": 32, "width_per_group": 4}),
    # without timm's 18 and 34, whose first block branches off before its norm; that of the paper does behind it
    **{f"resnetv2_{d}": Peer(f"resnet{d}", RESNET_V2, _PRE) for d in (50, 101, 152)},
    **{f"resnetv2_{d}d": Peer(f"resnet{d}", RESNET_V2, {**_PRE, **_D}) for d in (50, 101, 152)},
    "resnetv2_50d_gn": Peer("resnet50", RESNET_V2, {**_PRE, **_D, "norm": _GROUP}),
    **{name: Peer(f"resnet{d}", BIT, {**_BIT, "filters": 64 * k}) for name, (d, k) in _BITS.items()},
    **{f"densenet{d}": Peer(f"densenet{d}", DENSENET, _PRE) for d in (121, 161, 169, 201)},
    # timm
    "vit_tiny_patch16_224": Peer("vit_ti16", VIT_TIMM, _VIT),
    "vit_tiny_patch16_384": Peer("vit_ti16", VIT_TIMM, _VIT, 384),
    "vit_small_patch8_224": Peer("vit_s16", VIT_TIMM, _PATCH_8),
    "vit_small_patch16_224": Peer("vit_s16", VIT_TIMM, _VIT),
    "vit_small_patch16_384": Peer("vit_s16", VIT_TIMM, _VIT, 384),
    "vit_small_patch32_224": Peer("vit_s16", VIT_TIMM, _PATCH_32),
    "vit_small_patch32_384": Peer("vit_s16", VIT_TIMM, _PATCH_32, 384),
    "vit_base_patch8_224": Peer("vit_b16", VIT_TIMM, _PATCH_8),
    "vit_base_patch16_224": Peer("vit_b16", VIT_TIMM, _VIT),
    "vit_base_patch16_384": Peer("vit_b16", VIT_TIMM, _VIT, 384),
    "vit_base_patch32_224": Peer("vit_b32", VIT_TIMM, _VIT),
    "vit_base_patch32_384": Peer("vit_b32", VIT_TIMM, _VIT, 384),
    "vit_large_patch16_224": Peer("vit_l16", VIT_TIMM, _VIT),
    "vit_large_patch16_384": Peer("vit_l16", VIT_TIMM, _VIT, 384),
    "vit_large_patch32_224": Peer("vit_l32", VIT_TIMM, _VIT),
    "vit_large_patch32_384": Peer("vit_l32", VIT_TIMM, _VIT, 384),
    "vit_huge_patch14_224": Peer("vit_l16", VIT_TIMM, _HUGE),
    "vit_small_patch14_dinov2": Peer("vit_s16", VIT_TIMM, _DINO, 518),
    "vit_base_patch14_dinov2": Peer("vit_b16", VIT_TIMM, _DINO, 518),
    "vit_large_patch14_dinov2": Peer("vit_l16", VIT_TIMM, _DINO, 518),
    "deit_tiny_patch16_224": Peer("vit_ti16", VIT_TIMM, _VIT),
    "deit_small_patch16_224": Peer("vit_s16", VIT_TIMM, _VIT),
    "deit_base_patch16_224": Peer("vit_b16", VIT_TIMM, _VIT),
    "deit_base_patch16_384": Peer("vit_b16", VIT_TIMM, _VIT, 384),
    # torchvision
    "vit_b_16": Peer("vit_b16", VIT_TORCHVISION, _VIT),
    "vit_b_32": Peer("vit_b32", VIT_TORCHVISION, _VIT),
    "vit_l_16": Peer("vit_l16", VIT_TORCHVISION, _VIT),
    "vit_l_32": Peer("vit_l32", VIT_TORCHVISION, _VIT),
    "vit_h_14": Peer("vit_l16", VIT_TORCHVISION, _HUGE),
}
