"""Every mistake is told with its rule and what was received."""

import keras
import numpy as np
import pytest

import bnzoo


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bnzoo.ResNet50(norm="bach"), "Unknown norm: 'bach'. Did you mean 'batch'"),
        (lambda: bnzoo.ResNet50(norm=3), "`norm` must be"),
        (lambda: bnzoo.ResNet50(norm={"name": "batch", "groups": 3}), "no option 'groups'"),
        (lambda: bnzoo.ResNet50(placement="peri"), "Unknown placement for resnet: 'peri'"),
        (lambda: bnzoo.MLP(input_shape=(3,), placement="original"), "Known: post, pre, act_norm"),
        (lambda: bnzoo.ResNetCifar(21), "must be 6n\\+2 .* nearest: 20"),
        (lambda: bnzoo.ResNetCifar("20"), "must be 6n\\+2"),
        (lambda: bnzoo.ResNet50(input_shape=(16, 16, 3)), "too small: this network has strides of 32"),
        (lambda: bnzoo.ResNet50(input_shape=(16, 3)), r"must be \(height, width, channels\)"),
        (lambda: bnzoo.ResNet50(pooling="avg"), "`pooling` is for `include_top=False`"),
        (lambda: bnzoo.ResNet50(pooling="sum", include_top=False), "`pooling` must be"),
        (lambda: bnzoo.ResNet50(weights="nothing.h5"), "`weights` must be None or the path"),
        (lambda: bnzoo.ResNet50(classes=0), "`classes` must be a positive integer"),
        (lambda: bnzoo.ResNet((2, 2), block="wide"), "Unknown `block`: 'wide'. Known: basic, bottleneck"),
        (lambda: bnzoo.ResNet((2, 2), stem="c10"), "Unknown `stem`"),
        (lambda: bnzoo.ResNet((2, 2), shortcut="none"), "Unknown `shortcut`"),
        (lambda: bnzoo.ResNet(4), "`blocks` must be"),
        (lambda: bnzoo.ResNet((2, 0)), "`blocks` must be a positive integer"),
        (lambda: bnzoo.MLP(), "`input_shape` is needed"),
        (lambda: bnzoo.MLP(depth=4, input_shape=(3,), residual=True), "must be odd"),
        (lambda: bnzoo.MLP(input_shape=(3,), norm="instance"), "one value per group"),
        (lambda: bnzoo.create_model("resnet51"), "Unknown model: 'resnet51'. Did you mean 'resnet50'"),
        (lambda: bnzoo.Norm("group", groups=0), "`groups` must be a positive integer"),
        (lambda: bnzoo.placements.get("pre", "cnn"), "Unknown family: 'cnn'"),
        (lambda: bnzoo.ResNetCifar(True), "must be 6n\\+2"),
        (lambda: bnzoo.ResNetCifar(165, "bottleneck"), "must be 9n\\+2 .* nearest: 164"),
        (lambda: bnzoo.ResNetCifar(20, "wide"), "Unknown `block`: 'wide'"),
        (lambda: bnzoo.WideResNetCifar(27, 10), "must be 6n\\+4 .* nearest: 28"),
        (lambda: bnzoo.WideResNetCifar(28, 0), "`widen_factor` must be a positive integer"),
        (lambda: bnzoo.DenseNetCifar(101), "must be 6n\\+4 .* nearest: 100"),
        (lambda: bnzoo.DenseNetCifar(41, 12, bottleneck=False), "must be 3n\\+4 .* nearest: 40"),
        (lambda: bnzoo.DenseNet((6, "12")), "`blocks` must be a positive integer"),
        (lambda: bnzoo.DenseNet((6, 12), growth_rate=0), "`growth_rate` must be a positive integer"),
        (lambda: bnzoo.DenseNet((6, 12), compression=0), "`compression` must be above 0"),
        (lambda: bnzoo.DenseNet((6, 12), dropout_rate=1), "`dropout_rate` must be a number .* below 1"),
        (
            lambda: bnzoo.DenseNet((6, 12), placement="peri"),
            "Unknown placement for densenet: 'peri'. .* pre, post, act_norm",
        ),
        (lambda: bnzoo.DenseNet121(input_shape=(31, 64, 3)), "too small: this network has strides of 32"),
        (lambda: bnzoo.ResNet50(input_shape=(64, 64, None)), "must say how many channels"),
        (lambda: bnzoo.ResNet50(input_shape=(64, -64, 3)), "must hold positive integers"),
        (lambda: bnzoo.ResNet50(input_tensor=np.zeros((1, 64, 64, 3))), "`input_tensor` must be a Keras tensor"),
        (lambda: bnzoo.ResNet50(input_tensor=keras.Input((64, 64, 3)), input_shape=(32, 32, 3)), "contradict"),
        (lambda: bnzoo.ResNet50(groups=3), "`groups` must divide .* groups=3, filters=64"),
        (lambda: bnzoo.ResNet50(groups=0), "`groups` must be a positive integer"),
        (lambda: bnzoo.ResNet50(width_per_group=0), "`width_per_group` must be a positive integer"),
        (lambda: bnzoo.ResNet18(width_per_group=4), "`width_per_group` is for block='bottleneck'"),
        (lambda: bnzoo.ResNet18(stride_in_1x1=True), "`stride_in_1x1` is for block='bottleneck'"),
        (lambda: bnzoo.ResNet50(se_ratio=2), "`se_ratio` must be above 0"),
        (
            lambda: bnzoo.ResNet50(drop_path_rate=1.0),
            "`drop_path_rate` must be a number .* Received: drop_path_rate=1.0",
        ),
        (lambda: bnzoo.ResNet50(drop_path_rate="much"), "`drop_path_rate` must be a number"),
        (
            lambda: bnzoo.ResNet50(residual_init="zero"),
            "Unknown `residual_init`: 'zero'. Known: zero_gamma, skipinit, None",
        ),
        (
            lambda: bnzoo.ResNet50(residual_init="zero_gamma", placement="pre"),
            "needs a norm .* Use residual_init='skipinit'",
        ),
        (lambda: bnzoo.ResNet50(residual_init="zero_gamma", norm=None), "needs a norm with a gamma"),
        (
            lambda: bnzoo.ResNet50(residual_init="zero_gamma", norm={"name": "batch", "scale": False}),
            "needs a norm with a gamma",
        ),
        (lambda: bnzoo.ResNet50(features=True), "pass include_top=False"),
        (lambda: bnzoo.ResNet50(activation="rely"), "rely"),
        (lambda: bnzoo.ResNet50(kernel_regularizer="l3"), "l3"),
        (lambda: bnzoo.DenseNet121(weights="densenet.pth"), "from_torch"),
        (lambda: bnzoo.MLP(widths=(3, 4), depth=2, input_shape=(3,)), "`widths` stands instead of"),
        (lambda: bnzoo.MLP(widths=(), input_shape=(3,)), "`widths` must be the units"),
        (lambda: bnzoo.MLP(widths=(3, 4), residual=True, input_shape=(3,)), "must be odd"),
        (lambda: bnzoo.MLP(pooling="avg", include_top=False, input_shape=(3,)), "nothing to pool"),
        (lambda: bnzoo.MLP(drop_path_rate=0.1, input_shape=(3,)), "are for residual=True"),
        (lambda: bnzoo.MLP(residual_init="skipinit", input_shape=(3,)), "are for residual=True"),
        (lambda: bnzoo.ViT(patch_size=15), "`patch_size` must divide both sides .* patch_size=15"),
        (lambda: bnzoo.ViT(input_shape=(None, None, 3)), "which must be known"),
        (lambda: bnzoo.ViT(width=100, heads=12), "`heads` must divide `width`"),
        (lambda: bnzoo.ViT(depth=0), "`depth` must be a positive integer"),
        (lambda: bnzoo.ViT(mlp_ratio=0), "`mlp_ratio` must be a positive number"),
        (lambda: bnzoo.ViT(placement="act_norm"), "Unknown placement for vit: 'act_norm'. .* pre, post, peri"),
        (lambda: bnzoo.ViTB16(residual_init="zero_gamma"), "needs a norm with a gamma at the end"),
    ],
)
def test_mistakes_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()
