from dataclasses import replace

import numpy as np
import pytest

from bnzoo.weights import from_torch
from bnzoo.weights.pytorch_peers import PEERS

SIZES = [(96, 96), (65, 97)]
ANY_SIZE = {"input_shape": (None, None, 3), "classifier_activation": None}
of_timm, of_torchvision = pytest.mark.extras("torch", "timm"), pytest.mark.extras("torch", "torchvision")


# the argument for the blocks of each stage in bnzoo and in timm, and its value in a shallow network
SHALLOW = {
    "resnet": ("blocks", "layers", (2, 1, 1, 1)),
    "densenet": ("blocks", "block_config", (2, 1, 1, 1)),
    "vit": ("depth", "depth", 2),
}


def networks(names, *few, whole=()):
    """Return networks with few blocks as `slow` parameters, covering each kind of block, and whole ones as `nightly`.

    Args:
        names: Sequence of strings, the networks.
        *few: Names of networks to test with few blocks too.
        whole: Sequence of strings, networks whose peer cannot be built with few blocks. They are `slow` as a whole.
    """
    assert {*few, *whole} <= set(names)
    slow, nightly = pytest.mark.slow, pytest.mark.nightly
    return [
        *(pytest.param(name, True, marks=slow, id=f"{name}-shallow") for name in few),
        *(pytest.param(name, False, marks=slow if name in whole else nightly, id=name) for name in names),
    ]


@pytest.fixture
def cut(monkeypatch):
    """Reduce the blocks of a network in the table, and return the argument that does the same in timm."""

    def shorten(name, shallow=True):
        if not shallow:
            return {}
        peer = PEERS[name]
        ours, theirs, blocks = SHALLOW[next(family for family in SHALLOW if peer.base.startswith(family))]
        monkeypatch.setitem(PEERS, name, replace(peer, options={**peer.options, ours: blocks}))
        return {theirs: blocks}

    return shorten


TIMM = [
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnet18d",
    "resnet50d",
    "resnext50_32x4d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "seresnet50",
    "seresnext50_32x4d",
    "resnetv2_50",
    "resnetv2_50d",
    "resnetv2_50d_gn",
    "resnetv2_50x1_bit",
    "resnetv2_50x3_bit",
    "densenet121",
    "densenet161",
    "densenet201",
]
FEW = (
    *("resnet18", "resnet18d", "resnext50_32x4d", "seresnet50", "densenet121", "densenet161"),
    *("resnetv2_50", "resnetv2_50d", "resnetv2_50d_gn"),
)


@of_timm
@pytest.mark.parametrize(("name", "shallow"), networks(TIMM, *FEW, whole=["resnetv2_50x1_bit"]))
def test_convolutional_networks_of_timm(name, shallow, timm, cut, trained, torch_peer, same_logits):
    peer = timm.create_model(name, num_classes=11, **cut(name, shallow))
    model = from_torch(trained(peer), name, **ANY_SIZE)
    assert model.name == name
    same_logits(torch_peer(peer), model, SIZES)


TORCHVISION = ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "densenet161"]


@of_torchvision
@pytest.mark.nightly
@pytest.mark.parametrize("name", TORCHVISION)
def test_convolutional_networks_of_torchvision(name, torchvision, trained, torch_peer, same_logits):
    peer = getattr(torchvision.models, name)(num_classes=11)
    model = from_torch(trained(peer), name, **ANY_SIZE)
    same_logits(torch_peer(peer), model, SIZES)


@of_torchvision
@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "densenet121"])
def test_shallow_convolutional_networks_of_torchvision(name, torchvision, cut, trained, torch_peer, same_logits):
    """torchvision's constructors by name do not take the number of blocks, but its classes do."""
    (blocks,) = cut(name).values()
    if name == "resnet50":
        peer = torchvision.models.ResNet(torchvision.models.resnet.Bottleneck, blocks, num_classes=11)
    else:
        peer = torchvision.models.DenseNet(32, blocks, num_classes=11)
    same_logits(torch_peer(peer), from_torch(trained(peer), name, **ANY_SIZE), SIZES)


TRANSFORMERS = {
    "vit_tiny_patch16_224": (64, 96),
    "vit_small_patch32_224": (64, 96),
    "vit_base_patch8_224": (64, 96),
    "vit_small_patch14_dinov2": (56, 84),
    "deit_tiny_patch16_224": (64, 96),
}


@of_timm
@pytest.mark.parametrize(
    ("name", "shallow"), networks(TRANSFORMERS, "vit_tiny_patch16_224", "vit_small_patch14_dinov2")
)
@pytest.mark.parametrize("times", [1, 2])
def test_vision_transformers_of_timm(name, shallow, times, timm, cut, trained, torch_peer, same_logits):
    """Each size needs its own network, because the position embedding has a fixed size."""
    height, width = TRANSFORMERS[name]
    size = (times * height, width)
    peer = timm.create_model(name, num_classes=11, img_size=size, **cut(name, shallow))
    model = from_torch(trained(peer), name, input_shape=(*size, 3), classifier_activation=None)
    same_logits(torch_peer(peer), model, [size])


@of_torchvision
@pytest.mark.nightly
@pytest.mark.parametrize("name", ["vit_b_16", "vit_b_32"])
@pytest.mark.parametrize("side", [96, 160])
def test_vision_transformers_of_torchvision(name, side, torchvision, trained, torch_peer, same_logits):
    peer = getattr(torchvision.models, name)(num_classes=11, image_size=side)
    model = from_torch(trained(peer), name, input_shape=(side, side, 3), classifier_activation=None)
    same_logits(torch_peer(peer), model, [(side, side)])


@of_torchvision
@pytest.mark.slow
@pytest.mark.parametrize("side", [96, 160])
def test_a_shallow_vision_transformer_of_torchvision(side, torchvision, cut, trained, torch_peer, same_logits):
    depth = cut("vit_b_16")["depth"]
    peer = torchvision.models.VisionTransformer(side, 16, depth, 12, 768, 3072, num_classes=11)
    model = from_torch(trained(peer), "vit_b_16", input_shape=(side, side, 3), classifier_activation=None)
    same_logits(torch_peer(peer), model, [(side, side)])


GIANT = "resnetv2_152x4_bit"  # 0.9 billion parameters, and its kernels must be scaled


@pytest.mark.slow
@pytest.mark.extras("torch", "timm", "torchvision")
@pytest.mark.parametrize("name", sorted(PEERS.keys() - {GIANT}))
def test_every_network_of_the_table_has_the_tensors_of_its_peer(name, timm, torchvision, torch, without_values):
    """The test compares names and shapes. The networks have no values."""
    with torch.device("meta"):
        peers = [timm.create_model(name, num_classes=1000)] if timm.is_model(name) else []
        if name in torchvision.models.list_models():
            peers.append(torchvision.models.get_model(name))
    zero = np.float32(0)
    state, *other = (
        {name: np.broadcast_to(zero, tuple(tensor.shape)) for name, tensor in peer.state_dict().items()}
        for peer in peers
    )
    for same in other:  # both use the same tensor names for the networks that they share
        assert {name: value.shape for name, value in same.items()} == {n: value.shape for n, value in state.items()}
    model = from_torch(state, name)
    ours = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    theirs = sum(parameter.numel() for parameter in peers[0].parameters())
    stem_bias = model.get_layer("conv1_conv").filters if name.endswith("_bit") else 0
    assert ours - theirs == stem_bias


def test_the_classes_are_those_of_the_file_and_tags_are_left_out(small_state, tmp_path):
    np.savez(tmp_path / "w.npz", **small_state)
    model = from_torch(tmp_path / "w.npz", "resnet18.a1_in1k", input_shape=(32, 32, 3))
    assert model.output_shape == (None, 7)
    np.testing.assert_array_equal(model.get_layer("logits").bias, small_state["fc.bias"])


def test_the_classifier_may_be_left_out(small_state):
    model = from_torch(small_state, "resnet18", include_top=False, input_shape=(32, 32, 3))
    assert model.output_shape == (None, 4, 4, 128)


def test_a_wrong_state_names_the_first_tensor(small_state):
    with pytest.raises(ValueError, match=r"'fc\.weight' has the shape \(7, 128\), \(128, 7\) in .* has \(128, 3\)"):
        from_torch(small_state, "resnet18", classes=3, input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match=r"'layer1\.2\.conv1\.weight' for 'conv2_block3_1_conv/kernel' .* missing"):
        from_torch(small_state, "resnet34", input_shape=(32, 32, 3))


def test_a_classifier_out_of_proportion_is_compared_before_it_is_made(small_state):
    rows = np.broadcast_to(np.float32(0), (10**8, 1))  # the kernel would take 50 GB
    with pytest.raises(ValueError, match=r"'fc\.weight' has the shape \(100000000, 1\).* has \(128, 100000000\)"):
        from_torch({**small_state, "fc.weight": rows}, "resnet18", input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match="Unknown network of torchvision or timm: 5"):
        from_torch(small_state, 5)


def test_what_is_not_known_or_contradicts_is_refused_before_the_file_is_read():
    with pytest.raises(ValueError, match=r"Unknown network of torchvision or timm: 'resnet51'.*Did you mean 'resnet5"):
        from_torch("missing", "resnet51")
    with pytest.raises(ValueError, match=r"placement='post'.*Received: placement='pre'"):
        from_torch("missing", "resnet50", placement="pre")
    with pytest.raises(FileNotFoundError, match="no file missing"):
        from_torch("missing", "resnet50")


SPELLINGS = {
    "densenet121": (
        "features.denseblock4.denselayer16.norm.2.weight",
        "features.denseblock4.denselayer16.norm2.weight",
        "conv5_block16_2_norm/gamma",
    ),
    "vit_b_16": (
        "encoder.layers.encoder_layer_3.mlp.linear_2.bias",
        "encoder.layers.encoder_layer_3.mlp.3.bias",
        "block4_mlp_contract/bias",
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_names_in_torchvisions_published_files(name):
    old, new, ours = SPELLINGS[name]
    naming = PEERS[name].naming
    assert naming.spelled(old) == naming.spelled(new) == naming.tensor(ours) == new


@pytest.fixture
def small_state(monkeypatch):
    """Return the state dict of a ResNet with two stages and 7 classes, in the layout of PyTorch."""
    for name, blocks in {"resnet18": (2, 2), "resnet34": (3, 2)}.items():
        monkeypatch.setitem(PEERS, name, replace(PEERS[name], options={**PEERS[name].options, "blocks": blocks}))
    random = np.random.default_rng(4)
    state = {}

    def layer(name, *shape):
        state[f"{name}.weight"] = random.normal(size=shape).astype("float32")

    def norm(name, channels):
        layer(name, channels)
        for word in ("bias", "running_mean", "running_var"):
            state[f"{name}.{word}"] = random.uniform(size=channels).astype("float32")
        state[f"{name}.num_batches_tracked"] = np.array(1)

    layer("conv1", 64, 3, 7, 7)
    norm("bn1", 64)
    inputs = 64
    for stage, width in enumerate((64, 128), start=1):
        for block in (0, 1):
            for i in (1, 2):
                layer(f"layer{stage}.{block}.conv{i}", width, inputs if i == 1 else width, 3, 3)
                norm(f"layer{stage}.{block}.bn{i}", width)
            if inputs != width:
                layer(f"layer{stage}.0.downsample.0", width, inputs, 1, 1)
                norm(f"layer{stage}.0.downsample.1", width)
            inputs = width
    layer("fc", 7, 128)
    state["fc.bias"] = random.normal(size=7).astype("float32")
    return state
