"""The names of the tensors of torchvision and timm, and their order of axes."""

from dataclasses import replace
from functools import partial

import numpy as np

from bnzoo.weights.translation import Naming

_THIRDS = ("query", "key", "value")


def _convert(path: str, value: np.ndarray, shape: tuple, kernel_factor: float = 1.0) -> np.ndarray:
    """Return a tensor with the axes in Keras' order: outputs last, where PyTorch has them first."""
    *_, layer, variable = path.split("/")
    if layer in _THIRDS:
        value = np.split(value, 3)[_THIRDS.index(layer)]
    if variable == "kernel":
        if value.ndim == 4 and len(shape) == 2 and value.shape[2:] == (1, 1):
            value = value[:, :, 0, 0]  # a classifier that is a 1x1 convolution
        value = value.transpose(2, 3, 1, 0) * np.float32(kernel_factor) if value.ndim == 4 else value.T
    # the heads and their width are one axis in PyTorch and two in Keras
    if layer in _THIRDS and value.shape == (*shape[:-2], shape[-2] * shape[-1]):
        return value.reshape(shape)
    if layer == "attention_output" and len(shape) == 3 and value.shape == (shape[0] * shape[1], shape[2]):
        return value.reshape(shape)
    return value


_WORDS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_torch = partial(Naming, words=_WORDS, separator=".", convert=_convert, unused=r"\.num_batches_tracked$")

RESNET = _torch(
    {
        "conv1_conv": "conv1",
        "conv1_norm": "bn1",
        "conv{s}_block{i}_0_conv": "layer{s-1}.{i-1}.downsample.0",
        "conv{s}_block{i}_0_norm": "layer{s-1}.{i-1}.downsample.1",
        "conv{s}_block{i}_{j}_conv": "layer{s-1}.{i-1}.conv{j}",
        "conv{s}_block{i}_{j}_norm": "layer{s-1}.{i-1}.bn{j}",
        "conv{s}_block{i}_se_reduce": "layer{s-1}.{i-1}.se.fc1",
        "conv{s}_block{i}_se_expand": "layer{s-1}.{i-1}.se.fc2",
        "logits": "fc",
    },
    head="fc",
)
RESNET_D = replace(
    RESNET,
    rows={
        **RESNET.rows,
        "conv1_1_conv": "conv1.0",
        "conv1_1_norm": "conv1.1",
        "conv1_2_conv": "conv1.3",
        "conv1_2_norm": "conv1.4",
        "conv1_3_conv": "conv1.6",
        "conv1_3_norm": "bn1",
        # behind a pooling layer
        "conv{s}_block{i}_0_conv": "layer{s-1}.{i-1}.downsample.1",
        "conv{s}_block{i}_0_norm": "layer{s-1}.{i-1}.downsample.2",
    },
)
RESNET_V2 = _torch(
    {
        "conv1_conv": "stem.conv",
        "conv1_{j}_conv": "stem.conv{j}",
        "conv1_{j}_norm": "stem.norm{j-1}",  # the norm after a convolution there, the one before the next here
        "conv{s}_block{i}_0_conv": "stages.{s-2}.blocks.{i-1}.downsample.conv",
        "conv{s}_block{i}_{j}_conv": "stages.{s-2}.blocks.{i-1}.conv{j}",
        "conv{s}_block{i}_{j}_norm": "stages.{s-2}.blocks.{i-1}.norm{j}",
        "final_norm": "norm",
        "logits": "head.fc",
    },
    head="head.fc",
)
# Their kernels are standardised with an epsilon of 1e-8, bnzoo's with 1e-6: a kernel k times as large and an epsilon
# k^2 times as large give the same standardised kernel. Their stem has no bias, where bnzoo's has one.
BIT = replace(RESNET_V2, convert=partial(_convert, kernel_factor=(1e-6 / 1e-8) ** 0.5), zeros="conv1_conv/bias")
DENSENET = _torch(
    {
        "conv1_conv": "features.conv0",
        "conv1_norm": "features.norm0",
        "conv{s}_block{i}_{j}_conv": "features.denseblock{s-1}.denselayer{i}.conv{j}",
        "conv{s}_block{i}_{j}_norm": "features.denseblock{s-1}.denselayer{i}.norm{j}",
        "pool{s}_conv": "features.transition{s-1}.conv",
        "pool{s}_norm": "features.transition{s-1}.norm",
        "final_norm": "features.norm5",
        "logits": "classifier",
    },
    head="classifier",
    aliases={r"(denselayer\d+\.(?:norm|conv))\.(\d)": r"\1\2"},  # torchvision's published files
)


def _vit(block: str, attention: tuple[str, str], **layers: str) -> dict[str, str]:
    """Return the rows of a vision transformer.

    Args:
        block: The peer's prefix of a block.
        attention: The peer's tensors, up to `weight` and `bias`, of the three projections in one, and of the last.
        **layers: The other layers of a block.
    """
    rows = {f"block{{i}}_{layer}": f"{block}.{name}" for layer, name in layers.items()}
    for variable, word in (("kernel", "weight"), ("bias", "bias")):
        for third in _THIRDS:
            rows[f"block{{i}}_attention/{third}/{variable}"] = f"{block}.{attention[0]}{word}"
        rows[f"block{{i}}_attention/attention_output/{variable}"] = f"{block}.{attention[1]}{word}"
    return rows


VIT_TIMM = _torch(
    {
        "patch_embedding": "patch_embed.proj",
        "class_token/token": "cls_token",
        "position_embedding/position": "pos_embed",
        **_vit(
            "blocks.{i-1}",
            ("attn.qkv.", "attn.proj."),
            attention_norm="norm1",
            mlp_norm="norm2",
            mlp_expand="mlp.fc1",
            mlp_contract="mlp.fc2",
        ),
        "block{i}_attention_scale/gamma": "blocks.{i-1}.ls1.gamma",
        "block{i}_mlp_scale/gamma": "blocks.{i-1}.ls2.gamma",
        "final_norm": "norm",
        "logits": "head",
    },
    head="head",
)
VIT_TORCHVISION = _torch(
    {
        "patch_embedding": "conv_proj",
        "class_token/token": "class_token",
        "position_embedding/position": "encoder.pos_embedding",
        **_vit(
            "encoder.layers.encoder_layer_{i-1}",
            ("self_attention.in_proj_", "self_attention.out_proj."),
            attention_norm="ln_1",
            mlp_norm="ln_2",
            mlp_expand="mlp.0",
            mlp_contract="mlp.3",
        ),
        "final_norm": "encoder.ln",
        "logits": "heads.head",
    },
    head="heads.head",
    aliases={r"\.mlp\.linear_1\.": ".mlp.0.", r"\.mlp\.linear_2\.": ".mlp.3."},  # torchvision's published files
)
