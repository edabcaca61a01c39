"""What is known of each model of the zoo: counted figures, published accuracy with its source."""

from dataclasses import dataclass
from typing import Any

from bnzoo.models import densenet, mlp, resnet_cifar, resnet_variants, vit
from bnzoo.models.arguments import Builder


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model of the zoo.

    The counts are those of the built model, at the default input shape and classes; the tests count them again.

    Attributes:
        builder: The function that builds it.
        params: Integer, the trainable parameters; `None` where they depend on the arguments.
        macs: Integer, the multiply-accumulates of convolutions and dense layers for one example, as
            `bnzoo.models.count_macs` counts them; `None` likewise.
        accuracy: Float, published top-1 accuracy in percent, or `None` where none is known.
        source: String, where it was published. What bnzoo trains is not what they trained: no promise.
        dataset: String, what it was measured on.
        norm: String, the default.
        placement: String, the default.
    """

    builder: Builder
    params: int | None
    macs: int | None
    accuracy: float | None = None
    source: str = ""
    dataset: str = "ImageNet"
    norm: str = "batch"
    placement: str = "post"

    @property
    def name(self) -> str:
        """What `bnzoo.create_model` takes."""
        return vars(self.builder).get("model_name", self.builder.__name__.lower())

    @property
    def paper(self) -> str:
        """Where the network is described."""
        return vars(self.builder).get("paper", "Rumelhart et al. 1986")


_TORCHVISION = "torchvision, IMAGENET1K_V1"
_KERAS = "keras.applications"
_HU = "Hu et al. 2018, table 2"
_HUANG = "Huang et al. 2017, table"
_ZAGORUYKO = "Zagoruyko & Komodakis 2016, table"
_DEIT = "Touvron et al. 2021, table 5"
_CIFAR: dict[str, Any] = {"dataset": "CIFAR-10"}
_PRE: dict[str, Any] = {"placement": "pre"}
_VIT: dict[str, Any] = {"norm": "layer", "placement": "pre"}

CARDS = {
    card.name: card
    for card in (
        ModelCard(mlp.MLP, None, None, dataset=""),
        ModelCard(resnet_variants.ResNet18, 11_689_512, 1_814_073_344, 69.758, _TORCHVISION),
        ModelCard(resnet_variants.ResNet34, 21_797_672, 3_663_761_408, 73.314, _TORCHVISION),
        ModelCard(resnet_variants.ResNet50, 25_557_032, 4_089_184_256, 76.13, _TORCHVISION),
        ModelCard(resnet_variants.ResNet101, 44_549_160, 7_801_405_440, 77.374, _TORCHVISION),
        ModelCard(resnet_variants.ResNet152, 60_192_808, 11_513_626_624, 78.312, _TORCHVISION),
        ModelCard(resnet_variants.ResNet50V2, 25_549_352, 4_089_184_256, 76.0, _KERAS, **_PRE),
        ModelCard(resnet_variants.ResNet101V2, 44_541_480, 7_801_405_440, 77.2, _KERAS, **_PRE),
        ModelCard(resnet_variants.ResNet152V2, 60_185_128, 11_513_626_624, 78.0, _KERAS, **_PRE),
        ModelCard(resnet_variants.ResNet50D, 25_576_264, 4_328_824_832, 77.16, "He et al. 2019, table 5"),
        ModelCard(resnet_variants.ResNet101D, 44_568_392, 8_041_046_016),
        ModelCard(resnet_variants.ResNet152D, 60_212_040, 11_753_267_200),
        ModelCard(resnet_variants.ResNeXt50_32x4d, 25_028_904, 4_230_479_872, 77.618, _TORCHVISION),
        ModelCard(resnet_variants.ResNeXt101_32x4d, 44_177_704, 7_969_996_800, 78.8, "Xie et al. 2017, table 4"),
        ModelCard(resnet_variants.ResNeXt101_32x8d, 88_791_336, 16_414_015_488, 79.312, _TORCHVISION),
        ModelCard(resnet_variants.WideResNet50_2, 68_883_240, 11_398_021_120, 78.468, _TORCHVISION),
        ModelCard(resnet_variants.WideResNet101_2, 126_886_696, 22_753_050_624, 78.848, _TORCHVISION),
        ModelCard(resnet_variants.SEResNet50, 28_088_024, 4_091_699_200, 76.71, _HU),
        ModelCard(resnet_variants.SEResNet101, 49_326_872, 7_806_148_608, 77.62, _HU),
        ModelCard(resnet_variants.SEResNet152, 66_821_848, 11_520_204_800, 78.43, _HU),
        ModelCard(resnet_variants.SEResNeXt50_32x4d, 27_559_896, 4_232_994_816, 78.9, _HU),
        ModelCard(resnet_cifar.ResNet20Cifar, 269_722, 40_551_040, 91.25, "He et al. 2015, table 6", **_CIFAR),
        ModelCard(resnet_cifar.ResNet32Cifar, 464_154, 68_862_592, 92.49, "He et al. 2015, table 6", **_CIFAR),
        ModelCard(resnet_cifar.ResNet44Cifar, 658_586, 97_174_144, 92.83, "He et al. 2015, table 6", **_CIFAR),
        ModelCard(resnet_cifar.ResNet56Cifar, 853_018, 125_485_696, 93.03, "He et al. 2015, table 6", **_CIFAR),
        ModelCard(resnet_cifar.ResNet110Cifar, 1_727_962, 252_887_680, 93.57, "He et al. 2015, table 6", **_CIFAR),
        ModelCard(
            resnet_cifar.ResNet164Cifar, 1_703_258, 247_646_720, 94.54, "He et al. 2016, table 4", **_CIFAR, **_PRE
        ),
        ModelCard(
            resnet_cifar.ResNet1001Cifar, 10_327_706, 1_490_995_712, 95.08, "He et al. 2016, table 4", **_CIFAR, **_PRE
        ),
        ModelCard(resnet_cifar.WRN16_4, 2_748_890, 392_612_352, **_CIFAR, **_PRE),
        ModelCard(resnet_cifar.WRN28_2, 1_467_610, 214_353_152, **_CIFAR, **_PRE),
        ModelCard(resnet_cifar.WRN28_10, 36_479_194, 5_243_328_768, 96.0, f"{_ZAGORUYKO} 5", **_CIFAR, **_PRE),
        ModelCard(resnet_cifar.WRN40_2, 2_243_546, 327_599_360, 94.67, f"{_ZAGORUYKO} 4", **_CIFAR, **_PRE),
        ModelCard(densenet.DenseNet121, 7_978_856, 2_834_161_664, 74.434, _TORCHVISION, **_PRE),
        ModelCard(densenet.DenseNet161, 28_681_000, 7_727_907_072, 77.138, _TORCHVISION, **_PRE),
        ModelCard(densenet.DenseNet169, 14_149_480, 3_359_843_328, 75.6, _TORCHVISION, **_PRE),
        ModelCard(densenet.DenseNet201, 20_013_928, 4_291_365_888, 76.896, _TORCHVISION, **_PRE),
        ModelCard(densenet.DenseNet264, 33_337_704, 5_751_653_376, 77.85, f"{_HUANG} 3", **_PRE),
        ModelCard(densenet.DenseNet40_12, 1_019_722, 264_812_928, 94.76, f"{_HUANG} 2", **_CIFAR, **_PRE),
        ModelCard(densenet.DenseNetBC100_12, 769_162, 287_929_692, 95.49, f"{_HUANG} 2", **_CIFAR, **_PRE),
        ModelCard(densenet.DenseNetBC190_40, 25_624_430, 9_301_945_740, 96.54, f"{_HUANG} 2", **_CIFAR, **_PRE),
        ModelCard(vit.ViTTi16, 5_717_416, 1_074_851_328, 72.2, _DEIT, **_VIT),
        ModelCard(vit.ViTS16, 22_050_664, 4_241_218_560, 79.8, _DEIT, **_VIT),
        ModelCard(vit.ViTB16, 86_567_656, 16_848_500_736, 81.072, _TORCHVISION, **_VIT),
        ModelCard(vit.ViTB32, 88_224_232, 4_363_106_304, 75.912, _TORCHVISION, **_VIT),
        ModelCard(vit.ViTL16, 304_326_632, 59_647_172_608, 79.662, _TORCHVISION, **_VIT),
        ModelCard(vit.ViTL32, 306_535_400, 15_254_659_072, 76.972, _TORCHVISION, **_VIT),
    )
}
