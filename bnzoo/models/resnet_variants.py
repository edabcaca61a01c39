"""The rows of the papers' tables: named residual networks for ImageNet."""

from typing import Any

from bnzoo.models.arguments import variant
from bnzoo.models.resnet import ResNet

_DEEP_RESIDUAL = "He et al. 2015, table 1"
_IDENTITY = "He et al. 2016, table 5"
_BAG_OF_TRICKS = "He et al. 2019, table 5"
_AGGREGATED = "Xie et al. 2017, tables 1 and 4"
_WIDE = "Zagoruyko & Komodakis 2016, table 8"
_SQUEEZE = "Hu et al. 2018, table 2"

_18, _34, _50, _101, _152 = (2, 2, 2, 2), (3, 4, 6, 3), (3, 4, 6, 3), (3, 4, 23, 3), (3, 8, 36, 3)
_D: dict[str, Any] = {"stem": "deep", "shortcut": "avg_projection"}
_32X4D: dict[str, Any] = {"groups": 32, "width_per_group": 4}
_32X8D: dict[str, Any] = {"groups": 32, "width_per_group": 8}
_TWICE: dict[str, Any] = {"width_per_group": 128}
_SE: dict[str, Any] = {"se_ratio": 1 / 16}
_PRE: dict[str, Any] = {"placement": "pre"}

ResNet18 = variant(ResNet, "ResNet18", "resnet18", _DEEP_RESIDUAL, blocks=_18, block="basic")
ResNet34 = variant(ResNet, "ResNet34", "resnet34", _DEEP_RESIDUAL, blocks=_34, block="basic")
ResNet50 = variant(ResNet, "ResNet50", "resnet50", _DEEP_RESIDUAL, blocks=_50)
ResNet101 = variant(ResNet, "ResNet101", "resnet101", _DEEP_RESIDUAL, blocks=_101)
ResNet152 = variant(ResNet, "ResNet152", "resnet152", _DEEP_RESIDUAL, blocks=_152)
ResNet50V2 = variant(ResNet, "ResNet50V2", "resnet50_v2", _IDENTITY, blocks=_50, **_PRE)
ResNet101V2 = variant(ResNet, "ResNet101V2", "resnet101_v2", _IDENTITY, blocks=_101, **_PRE)
ResNet152V2 = variant(ResNet, "ResNet152V2", "resnet152_v2", _IDENTITY, blocks=_152, **_PRE)
ResNet50D = variant(ResNet, "ResNet50D", "resnet50d", _BAG_OF_TRICKS, blocks=_50, **_D)
ResNet101D = variant(ResNet, "ResNet101D", "resnet101d", _BAG_OF_TRICKS, blocks=_101, **_D)
ResNet152D = variant(ResNet, "ResNet152D", "resnet152d", _BAG_OF_TRICKS, blocks=_152, **_D)
ResNeXt50_32x4d = variant(ResNet, "ResNeXt50_32x4d", "resnext50_32x4d", _AGGREGATED, blocks=_50, **_32X4D)
ResNeXt101_32x4d = variant(ResNet, "ResNeXt101_32x4d", "resnext101_32x4d", _AGGREGATED, blocks=_101, **_32X4D)
ResNeXt101_32x8d = variant(ResNet, "ResNeXt101_32x8d", "resnext101_32x8d", _AGGREGATED, blocks=_101, **_32X8D)
WideResNet50_2 = variant(ResNet, "WideResNet50_2", "wide_resnet50_2", _WIDE, blocks=_50, **_TWICE)
WideResNet101_2 = variant(ResNet, "WideResNet101_2", "wide_resnet101_2", _WIDE, blocks=_101, **_TWICE)
SEResNet50 = variant(ResNet, "SEResNet50", "seresnet50", _SQUEEZE, blocks=_50, **_SE)
SEResNet101 = variant(ResNet, "SEResNet101", "seresnet101", _SQUEEZE, blocks=_101, **_SE)
SEResNet152 = variant(ResNet, "SEResNet152", "seresnet152", _SQUEEZE, blocks=_152, **_SE)
SEResNeXt50_32x4d = variant(ResNet, "SEResNeXt50_32x4d", "seresnext50_32x4d", _SQUEEZE, blocks=_50, **_32X4D, **_SE)
