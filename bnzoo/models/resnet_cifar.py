"""Residual networks for small images: 6n+2 (He et al. 2015), 9n+2 (2016), WRN-d-k (Zagoruyko & Komodakis 2016)."""

from typing import Any

import keras

from bnzoo.errors import choice, positive_integer
from bnzoo.models.arguments import stage_depth, variant
from bnzoo.models.resnet import ResNet

# block -> (convolutions in three stages of one block each, multiple of the shortest depth)
_CONVOLUTIONS = {"basic": 6, "bottleneck": 9}


def ResNetCifar(depth: int, block: str = "basic", **options: Any) -> keras.Model:
    """The residual network for small images: three stages with 16, 32, 64 channels, four times these of bottlenecks.

    Args:
        depth: Integer, 6n+2 with basic blocks (8, 14, 20, 32, 44, 56, 110), 9n+2 with bottlenecks (164, 1001).
        block: String, `"basic"` or `"bottleneck"`.
        **options: The arguments of `bnzoo.ResNet`. Here `stem` is `"cifar"`, `filters` 16, `classes` 10, and `shortcut`
            `"zero_padding"` for basic blocks (paper of 2015), `"projection"` for bottlenecks (that of 2016).

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
    blocks = stage_depth(depth, _CONVOLUTIONS[choice("block", block, _CONVOLUTIONS)], 2)
    defaults = {
        "filters": 16,
        "stem": "cifar",
        "shortcut": "zero_padding" if block == "basic" else "projection",
        "classes": 10,
        "name": f"resnet{depth}_cifar",
    }
    return ResNet((blocks,) * 3, block, **{**defaults, **options})


def WideResNetCifar(depth: int, widen_factor: int, **options: Any) -> keras.Model:
    """WRN-d-k: a wide pre-activation residual network for small images.

    Args:
        depth: Integer, 6n+4: 16, 22, 28, 40.
        widen_factor: Integer, k: the stages have 16k, 32k, 64k channels.
        **options: The arguments of `bnzoo.ResNet`. Here `placement` is `"pre"`, `stem` `"cifar"`, `filters` 16 and
            `classes` 10; `dropout_rate` is the paper's dropout between the convolutions.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the depth is not 6n+4, or an argument is wrong.

    Examples:
    >>> model = bnzoo.WideResNetCifar(28, 10, dropout_rate=0.3)

    Reference:
        - [Zagoruyko & Komodakis, 2016: Wide residual networks](https://arxiv.org/abs/1605.07146), tables 1 and 5
    """
    blocks = stage_depth(depth, 6, 4)
    defaults = {
        "filters": 16,
        "widen_factor": positive_integer("widen_factor", widen_factor),
        "stem": "cifar",
        "placement": "pre",
        "classes": 10,
        "name": f"wrn{depth}_{widen_factor}",
    }
    return ResNet((blocks,) * 3, "basic", **{**defaults, **options})


_SECTION_4_2 = "He et al. 2015, section 4.2"
_TABLE_4 = "He et al. 2016, table 4"
_TABLE_5 = "Zagoruyko & Komodakis 2016, table 5"
_PRE: dict[str, Any] = {"block": "bottleneck", "placement": "pre"}

ResNet20Cifar = variant(ResNetCifar, "ResNet20Cifar", "resnet20_cifar", _SECTION_4_2, depth=20)
ResNet32Cifar = variant(ResNetCifar, "ResNet32Cifar", "resnet32_cifar", _SECTION_4_2, depth=32)
ResNet44Cifar = variant(ResNetCifar, "ResNet44Cifar", "resnet44_cifar", _SECTION_4_2, depth=44)
ResNet56Cifar = variant(ResNetCifar, "ResNet56Cifar", "resnet56_cifar", _SECTION_4_2, depth=56)
ResNet110Cifar = variant(ResNetCifar, "ResNet110Cifar", "resnet110_cifar", _SECTION_4_2, depth=110)
ResNet164Cifar = variant(ResNetCifar, "ResNet164Cifar", "resnet164_cifar", _TABLE_4, depth=164, **_PRE)
ResNet1001Cifar = variant(ResNetCifar, "ResNet1001Cifar", "resnet1001_cifar", _TABLE_4, depth=1001, **_PRE)
WRN16_4 = variant(WideResNetCifar, "WRN16_4", "wrn16_4", _TABLE_5, depth=16, widen_factor=4)
WRN28_2 = variant(WideResNetCifar, "WRN28_2", "wrn28_2", "Oliver et al. 2018", depth=28, widen_factor=2)
WRN28_10 = variant(WideResNetCifar, "WRN28_10", "wrn28_10", _TABLE_5, depth=28, widen_factor=10)
WRN40_2 = variant(WideResNetCifar, "WRN40_2", "wrn40_2", _TABLE_5, depth=40, widen_factor=2)
