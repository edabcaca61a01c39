"""The named residual networks for ImageNet."""

from typing import Any

from bnzoo.models.arguments import variant
from bnzoo.models.resnet import ResNet

_HE_2015 = "He et al. 2015, table 1"
_HE_2016 = "He et al. 2016, table 5"
_HE_2019 = "He et al. 2019, table 5"
_XIE = "Xie et al. 2017, tables 1 and 4"
_ZAGORUYKO = "Zagoruyko & Komodakis 2016, table 8"
_HU = "Hu et al. 2018, table 2"
_TV = "torchvision, IMAGENET1K_V1"
_KERAS = "keras.applications"

_18: dict[str, Any] = {"blocks": (2, 2, 2, 2), "block": "basic"}
_34: dict[str, Any] = {"blocks": (3, 4, 6, 3), "block": "basic"}
_50: dict[str, Any] = {"blocks": (3, 4, 6, 3)}
_101: dict[str, Any] = {"blocks": (3, 4, 23, 3)}
_152: dict[str, Any] = {"blocks": (3, 8, 36, 3)}
_PRE: dict[str, Any] = {"placement": "pre"}
_D: dict[str, Any] = {"stem": "deep", "shortcut": "avg_projection"}
_SE: dict[str, Any] = {"se_ratio": 1 / 16}
_4D: dict[str, Any] = {"groups": 32, "width_per_group": 4}
_8D: dict[str, Any] = {"groups": 32, "width_per_group": 8}
_WIDE: dict[str, Any] = {"width_per_group": 128}

# fmt: off
# the figures are those of `ModelCard`: parameters, multiply-accumulates, published accuracy and its source
ResNet18 = variant(ResNet, "ResNet18", "resnet18", _HE_2015,
    (11_689_512, 1_814_073_344, 69.758, _TV), **_18)
ResNet34 = variant(ResNet, "ResNet34", "resnet34", _HE_2015,
    (21_797_672, 3_663_761_408, 73.314, _TV), **_34)
ResNet50 = variant(ResNet, "ResNet50", "resnet50", _HE_2015,
    (25_557_032, 4_089_184_256, 76.13, _TV), **_50)
ResNet101 = variant(ResNet, "ResNet101", "resnet101", _HE_2015,
    (44_549_160, 7_801_405_440, 77.374, _TV), **_101)
ResNet152 = variant(ResNet, "ResNet152", "resnet152", _HE_2015,
    (60_192_808, 11_513_626_624, 78.312, _TV), **_152)
ResNet50V2 = variant(ResNet, "ResNet50V2", "resnet50_v2", _HE_2016,
    (25_549_352, 4_089_184_256, 76.0, _KERAS), **_50, **_PRE)
ResNet101V2 = variant(ResNet, "ResNet101V2", "resnet101_v2", _HE_2016,
    (44_541_480, 7_801_405_440, 77.2, _KERAS), **_101, **_PRE)
ResNet152V2 = variant(ResNet, "ResNet152V2", "resnet152_v2", _HE_2016,
    (60_185_128, 11_513_626_624, 78.0, _KERAS), **_152, **_PRE)
ResNet50D = variant(ResNet, "ResNet50D", "resnet50d", _HE_2019,
    (25_576_264, 4_328_824_832, 77.16, _HE_2019), **_50, **_D)
ResNet101D = variant(ResNet, "ResNet101D", "resnet101d", _HE_2019,
    (44_568_392, 8_041_046_016), **_101, **_D)
ResNet152D = variant(ResNet, "ResNet152D", "resnet152d", _HE_2019,
    (60_212_040, 11_753_267_200), **_152, **_D)
ResNeXt50_32x4d = variant(ResNet, "ResNeXt50_32x4d", "resnext50_32x4d", _XIE,
    (25_028_904, 4_230_479_872, 77.618, _TV), **_50, **_4D)
ResNeXt101_32x4d = variant(ResNet, "ResNeXt101_32x4d", "resnext101_32x4d", _XIE,
    (44_177_704, 7_969_996_800, 78.8, "Xie et al. 2017, table 4"), **_101, **_4D)
ResNeXt101_32x8d = variant(ResNet, "ResNeXt101_32x8d", "resnext101_32x8d", _XIE,
    (88_791_336, 16_414_015_488, 79.312, _TV), **_101, **_8D)
WideResNet50_2 = variant(ResNet, "WideResNet50_2", "wide_resnet50_2", _ZAGORUYKO,
    (68_883_240, 11_398_021_120, 78.468, _TV), **_50, **_WIDE)
WideResNet101_2 = variant(ResNet, "WideResNet101_2", "wide_resnet101_2", _ZAGORUYKO,
    (126_886_696, 22_753_050_624, 78.848, _TV), **_101, **_WIDE)
SEResNet50 = variant(ResNet, "SEResNet50", "seresnet50", _HU,
    (28_088_024, 4_091_699_200, 76.71, _HU), **_50, **_SE)
SEResNet101 = variant(ResNet, "SEResNet101", "seresnet101", _HU,
    (49_326_872, 7_806_148_608, 77.62, _HU), **_101, **_SE)
SEResNet152 = variant(ResNet, "SEResNet152", "seresnet152", _HU,
    (66_821_848, 11_520_204_800, 78.43, _HU), **_152, **_SE)
SEResNeXt50_32x4d = variant(ResNet, "SEResNeXt50_32x4d", "seresnext50_32x4d", _HU,
    (27_559_896, 4_232_994_816, 78.9, _HU), **_50, **_4D, **_SE)
# fmt: on
