"""Published counts of the papers' networks: trainable parameters, moving statistics, multiply-accumulates.

1000 classes at 224 pixels; CIFAR networks 10 classes at 32.
"""

# model, options -> params, state, MACs of convolutions and dense layers, MACs of attention
IMAGENET = [
    ("resnet18", {}, 11_689_512, 9_600, 1_814_073_344, 0),
    ("resnet34", {}, 21_797_672, 17_024, 3_663_761_408, 0),
    ("resnet50", {}, 25_557_032, 53_120, 4_089_184_256, 0),
    ("resnet152", {}, 60_192_808, 151_424, 11_513_626_624, 0),
    ("resnet50d", {}, 25_576_264, 53_248, 4_328_824_832, 0),
    ("resnet50_v2", {}, 25_549_352, 45_440, 4_089_184_256, 0),
    ("resnet50", {"placement": "pre"}, 25_549_352, 45_440, 4_089_184_256, 0),
    ("resnet152_v2", {}, 60_185_128, 143_744, 11_513_626_624, 0),
    ("resnext50_32x4d", {}, 25_028_904, 68_224, 4_230_479_872, 0),
    ("wide_resnet50_2", {}, 68_883_240, 68_224, 11_398_021_120, 0),
    ("seresnet50", {}, 28_088_024, 53_120, 4_091_699_200, 0),
    ("densenet121", {}, 7_978_856, 83_648, 2_834_161_664, 0),
    ("densenet201", {}, 20_013_928, 229_056, 4_291_365_888, 0),
    ("densenet161", {}, 28_681_000, 219_936, 7_727_907_072, 0),
    ("densenet264", {}, 33_337_704, 398_528, 5_751_653_376, 0),
    ("vit_ti16", {}, 5_717_416, 0, 1_074_851_328, 178_831_872),
    ("vit_b16", {}, 86_567_656, 0, 16_848_500_736, 715_327_488),
]
# model, options -> params, published error in percent
CIFAR = [
    ("resnet20_cifar", {}, 269_722, 8.75),
    ("resnet32_cifar", {}, 464_154, 7.51),
    ("resnet56_cifar", {}, 853_018, 6.97),
    ("resnet110_cifar", {}, 1_727_962, 6.43),
    ("resnet20_cifar", {"shortcut": "projection"}, 272_474, None),
    ("resnet32_cifar", {"shortcut": "projection"}, 466_906, None),
    ("resnet56_cifar", {"shortcut": "projection"}, 855_770, None),
    ("resnet110_cifar", {"shortcut": "projection"}, 1_730_714, None),
    ("resnet164_cifar", {}, 1_703_258, 5.46),
    ("wrn28_10", {}, 36_479_194, 4.00),
    ("wrn28_2", {}, 1_467_610, None),
    ("wrn16_4", {}, 2_748_890, None),
    ("wrn40_2", {}, 2_243_546, None),
    ("densenet40_12", {}, 1_019_722, 5.24),
    ("densenet_bc100_12", {}, 769_162, 4.51),
    ("densenet_bc190_40", {}, 25_624_430, 3.46),
]
# norm -> params, state of ResNet-50. FRN has a tau only if an activation follows it: not in the shortcuts, and not
# after the last convolution of a block (26,560 channels minus 3,840 and 15,104).
RESNET50_BY_NORM = {
    "batch": (25_557_032, 53_120),
    "sync_batch": (25_557_032, 53_120),
    "ghost_batch": (25_557_032, 53_120),
    "group": (25_557_032, 0),
    "layer": (25_557_032, 0),
    "instance": (25_557_032, 0),
    "rms": (25_530_472, 0),
    None: (25_530_472, 0),
    "filter_response": (25_557_032 + 7_616, 0),
}
