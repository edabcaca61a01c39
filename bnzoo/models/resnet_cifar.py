"""Residual networks for small images: 6n+2 (He et al. 2015), 9n+2 (2016), WRN-d-k (Zagoruyko & Komodakis 2016)."""

from typing import Any

import keras

from bnzoo.errors import choice, positive_integer
from bnzoo.models.arguments import preset, preset_variant, stage_depth
from bnzoo.models.resnet import ResNet

# block -> convolutions of three stages with one block each
_CONVOLUTIONS = {"basic": 6, "bottleneck": 9}


@preset(ResNet, filters=16, stem="cifar", shortcut=None, classes=10, name=None)
def ResNetCifar(depth: int, block: str = "basic", **options: Any) -> keras.Model:
    """Build the residual network for small images.

    It has three stages of 16, 32 and 64 channels, bottlenecks four times as many.

    Args:
        depth: Integer, 6n+2 with basic blocks (8, 14, 20, 32, 44, 56, 110), 9n+2 with bottlenecks (164, 1001).
        block: String, `"basic"` or `"bottleneck"`.
        **options: The arguments of `bnzoo.ResNet`. The defaults of `stem`, `filters` and `classes` are `"cifar"`, 16
            and 10. The default of `shortcut` is `"zero_padding"` for basic blocks (paper of 2015), and `"projection"`
            for bottlenecks (paper of 2016).

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the block has no network of this depth, or an argument is wrong.

    Examples:
    >>> model = bnzoo.ResNetCifar(20, norm="layer", placement="pre", classes=100)

    Reference:
        - [He et al., 2015: Deep residual learning](https://arxiv.org/abs/1512.03385), section 4.2
        - [He et al., 2016: Identity mappings in deep residual networks](https://arxiv.org/abs/1603.05027), table 4
    """
    blocks = (cifar_blocks(depth, block),) * 3
    options["shortcut"] = options["shortcut"] or ("zero_padding" if block == "basic" else "projection")
    options["name"] = options["name"] or f"resnet{depth}_cifar"
    return ResNet(blocks, block, **options)


def cifar_blocks(depth: int, block: str = "basic") -> int:
    """Return the number of blocks of each stage.

    Raises:
        ValueError: If there is no network of this depth, or no such block.
    """
    return stage_depth(depth, _CONVOLUTIONS[choice("block", block, _CONVOLUTIONS)], 2)


@preset(ResNet, filters=16, stem="cifar", placement="pre", classes=10, name=None)
def WideResNetCifar(depth: int, widen_factor: int, **options: Any) -> keras.Model:
    """Build WRN-d-k, a wide pre-activation residual network for small images.

    Args:
        depth: Integer, 6n+4: 16, 22, 28, 40.
        widen_factor: Integer, k. The stages have 16k, 32k and 64k channels.
        **options: The arguments of `bnzoo.ResNet`. The defaults of `placement`, `stem`, `filters` and `classes` are
            `"pre"`, `"cifar"`, 16 and 10. `dropout_rate` is the paper's dropout between the convolutions.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the depth is not 6n+4, or an argument is wrong.

    Examples:
    >>> model = bnzoo.WideResNetCifar(28, 10, dropout_rate=0.3)

    Reference:
        - [Zagoruyko & Komodakis, 2016: Wide residual networks](https://arxiv.org/abs/1605.07146), tables 1 and 5
    """
    blocks = (stage_depth(depth, 6, 4),) * 3
    options["name"] = options["name"] or f"wrn{depth}_{widen_factor}"
    return ResNet(blocks, "basic", widen_factor=positive_integer("widen_factor", widen_factor), **options)


_HE_2015 = "He et al. 2015, section 4.2"
_HE_2016 = "He et al. 2016, table 4"
_WRN = "Zagoruyko & Komodakis 2016, table 5"
_OLIVER = "Oliver et al. 2018"
_TABLE_4 = "Zagoruyko & Komodakis 2016, table 4"
_TABLE_6 = "He et al. 2015, table 6"
_C10 = "CIFAR-10"
_PRE: dict[str, Any] = {"block": "bottleneck", "placement": "pre"}

# fmt: off
# the figures are those of `ModelCard`: parameters, multiply-accumulates, published accuracy and its source
ResNet20Cifar = preset_variant(ResNetCifar, "ResNet20Cifar", "resnet20_cifar", _HE_2015,
    (269_722, 40_551_040, 91.25, _TABLE_6, _C10), depth=20)
ResNet32Cifar = preset_variant(ResNetCifar, "ResNet32Cifar", "resnet32_cifar", _HE_2015,
    (464_154, 68_862_592, 92.49, _TABLE_6, _C10), depth=32)
ResNet44Cifar = preset_variant(ResNetCifar, "ResNet44Cifar", "resnet44_cifar", _HE_2015,
    (658_586, 97_174_144, 92.83, _TABLE_6, _C10), depth=44)
ResNet56Cifar = preset_variant(ResNetCifar, "ResNet56Cifar", "resnet56_cifar", _HE_2015,
    (853_018, 125_485_696, 93.03, _TABLE_6, _C10), depth=56)
ResNet110Cifar = preset_variant(ResNetCifar, "ResNet110Cifar", "resnet110_cifar", _HE_2015,
    (1_727_962, 252_887_680, 93.57, _TABLE_6, _C10), depth=110)
ResNet164Cifar = preset_variant(ResNetCifar, "ResNet164Cifar", "resnet164_cifar", _HE_2016,
    (1_703_258, 247_646_720, 94.54, _HE_2016, _C10), depth=164, **_PRE)
ResNet1001Cifar = preset_variant(ResNetCifar, "ResNet1001Cifar", "resnet1001_cifar", _HE_2016,
    (10_327_706, 1_490_995_712, 95.08, _HE_2016, _C10), depth=1001, **_PRE)
WRN16_4 = preset_variant(WideResNetCifar, "WRN16_4", "wrn16_4", _WRN,
    (2_748_890, 392_612_352, None, "", _C10), depth=16, widen_factor=4)
WRN28_2 = preset_variant(WideResNetCifar, "WRN28_2", "wrn28_2", _OLIVER,
    (1_467_610, 214_353_152, None, "", _C10), depth=28, widen_factor=2)
WRN28_10 = preset_variant(WideResNetCifar, "WRN28_10", "wrn28_10", _WRN,
    (36_479_194, 5_243_328_768, 96.0, _WRN, _C10), depth=28, widen_factor=10)
WRN40_2 = preset_variant(WideResNetCifar, "WRN40_2", "wrn40_2", _WRN,
    (2_243_546, 327_599_360, 94.67, _TABLE_4, _C10), depth=40, widen_factor=2)
# fmt: on
