import keras
import numpy as np
import pytest

from bnzoo.weights import from_torch
from bnzoo.weights.pytorch_peers import PEERS

SIZES = [(96, 96), (65, 97)]
ANY_SIZE = {"input_shape": (None, None, 3), "classifier_activation": None}
of_timm, of_torchvision = pytest.mark.extras("torch", "timm"), pytest.mark.extras("torch", "torchvision")


def shallow(names, *few):
    """Mark the shallow networks `slow`, one of each naming and kind of block, and the others `nightly`."""
    assert set(few) <= set(names)
    return [pytest.param(name, marks=pytest.mark.slow if name in few else pytest.mark.nightly) for name in names]


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


KINDS = ("resnet18", "resnet18d", "resnext50_32x4d", "seresnet50", "resnetv2_50", "resnetv2_50x1_bit", "densenet121")


@of_timm
@pytest.mark.parametrize("name", shallow(TIMM, *KINDS))
def test_convolutional_networks_of_timm(name, timm, trained, torch_peer, same_logits):
    peer = timm.create_model(name, num_classes=11)
    model = from_torch(trained(peer), name, **ANY_SIZE)
    assert model.name == name
    same_logits(torch_peer(peer), model, SIZES)


TORCHVISION = ["resnet18", "resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "densenet161"]


@of_torchvision
@pytest.mark.parametrize("name", shallow(TORCHVISION, "resnet18"))
def test_convolutional_networks_of_torchvision(name, torchvision, trained, torch_peer, same_logits):
    peer = getattr(torchvision.models, name)(num_classes=11)
    model = from_torch(trained(peer), name, **ANY_SIZE)
    same_logits(torch_peer(peer), model, SIZES)


TRANSFORMERS = {
    "vit_tiny_patch16_224": (64, 96),
    "vit_small_patch32_224": (64, 96),
    "vit_base_patch8_224": (64, 96),
    "vit_small_patch14_dinov2": (56, 84),
    "deit_tiny_patch16_224": (64, 96),
}


@of_timm
@pytest.mark.parametrize("name", shallow(TRANSFORMERS, "vit_tiny_patch16_224", "vit_small_patch14_dinov2"))
@pytest.mark.parametrize("times", [1, 2])
def test_vision_transformers_of_timm(name, times, timm, trained, torch_peer, same_logits):
    """A network for each size: the position embedding is for one."""
    height, width = TRANSFORMERS[name]
    size = (times * height, width)
    peer = timm.create_model(name, num_classes=11, img_size=size)
    model = from_torch(trained(peer), name, input_shape=(*size, 3), classifier_activation=None)
    same_logits(torch_peer(peer), model, [size])


@of_torchvision
@pytest.mark.parametrize("name", shallow(["vit_b_16", "vit_b_32"], "vit_b_16"))
@pytest.mark.parametrize("side", [96, 160])
def test_vision_transformers_of_torchvision(name, side, torchvision, trained, torch_peer, same_logits):
    peer = getattr(torchvision.models, name)(num_classes=11, image_size=side)
    model = from_torch(trained(peer), name, input_shape=(side, side, 3), classifier_activation=None)
    same_logits(torch_peer(peer), model, [(side, side)])


# of 0.6 billion parameters and more
GIANTS = {"vit_huge_patch14_224", "vit_h_14", "resnetv2_152x4_bit"}


@pytest.mark.slow
@pytest.mark.extras("torch", "timm", "torchvision")
@pytest.mark.parametrize("name", sorted(PEERS.keys() - GIANTS))
def test_every_network_of_the_table_has_the_tensors_of_its_peer(name, timm, torchvision, torch, monkeypatch):
    """By name and shape; neither network has values."""
    monkeypatch.setattr(keras.Variable, "assign", lambda variable, value: None)
    with torch.device("meta"):
        peer = timm.create_model(name, num_classes=1000) if timm.is_model(name) else getattr(torchvision.models, name)()
    zero = np.float32(0)
    state = {name: np.broadcast_to(zero, tuple(tensor.shape)) for name, tensor in peer.state_dict().items()}
    with keras.StatelessScope():
        model = from_torch(state, name)
    ours = sum(np.prod(weight.shape) for weight in model.trainable_weights)
    theirs = sum(parameter.numel() for parameter in peer.parameters())
    stem_bias = model.get_layer("conv1_conv").filters if name.endswith("_bit") else 0
    assert ours - theirs == stem_bias


def test_the_classes_are_those_of_the_file_and_tags_are_left_out(small_state, tmp_path):
    np.savez(tmp_path / "w.npz", **small_state)
    model = from_torch(tmp_path / "w.npz", "resnet18.a1_in1k", input_shape=(32, 32, 3))
    assert model.output_shape == (None, 7)
    np.testing.assert_array_equal(model.get_layer("logits").bias, small_state["fc.bias"])


def test_the_classifier_may_be_left_out(small_state):
    model = from_torch(small_state, "resnet18", include_top=False, input_shape=(32, 32, 3))
    assert model.output_shape == (None, 1, 1, 512)


def test_a_wrong_state_names_the_first_tensor(small_state):
    with pytest.raises(ValueError, match=r"'fc\.weight' has the shape \(7, 512\), \(512, 7\) in .* has \(512, 3\)"):
        from_torch(small_state, "resnet18", classes=3, input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match=r"'layer1\.2\.conv1\.weight' for 'conv2_block3_1_conv/kernel' .* missing"):
        from_torch(small_state, "resnet34", input_shape=(32, 32, 3))


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
def small_state():
    """The state dict of a ResNet-18 of 7 classes, as PyTorch would have it."""
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
    for stage, width in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            for i in (1, 2):
                layer(f"layer{stage}.{block}.conv{i}", width, inputs if i == 1 else width, 3, 3)
                norm(f"layer{stage}.{block}.bn{i}", width)
            if inputs != width:
                layer(f"layer{stage}.0.downsample.0", width, inputs, 1, 1)
                norm(f"layer{stage}.0.downsample.1", width)
            inputs = width
    layer("fc", 7, 512)
    state["fc.bias"] = random.normal(size=7).astype("float32")
    return state
