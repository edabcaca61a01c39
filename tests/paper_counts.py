"""Parameters at 1000 classes (CIFAR: 10): trainable, and the moving statistics. As published."""

IMAGENET = {
    "resnet18": (11_689_512, 9_600),
    "resnet34": (21_797_672, 17_024),
    "resnet50": (25_557_032, 53_120),
    "resnet152": (60_192_808, 151_424),
}
PREACTIVATION = {"resnet50": (25_549_352, 45_440), "resnet152": (60_185_128, 143_744)}
RESNET50_BY_NORM = {
    "batch": 25_557_032,
    "group": 25_557_032,
    "layer": 25_557_032,
    "instance": 25_557_032,
    "rms": 25_530_472,
    None: 25_530_472,
}
# depth -> (option A, option B)
CIFAR = {20: (269_722, 272_474), 32: (464_154, 466_906), 56: (853_018, 855_770), 110: (1_727_962, 1_730_714)}
