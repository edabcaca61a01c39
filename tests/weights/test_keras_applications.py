import itertools

import keras
import numpy as np
import pytest
from keras_2 import save_as_keras_2_did
from tiers import tiered

import bnzoo
from bnzoo.weights import from_keras_applications, imagenet, keras_applications

SIZES = [(96, 96), (65, 97)]
slow = pytest.mark.slow

FUNCTIONS = {
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
    "resnet50_v2": "ResNet50V2",
    "resnet101_v2": "ResNet101V2",
    "resnet152_v2": "ResNet152V2",
    "densenet121": "DenseNet121",
    "densenet169": "DenseNet169",
    "densenet201": "DenseNet201",
}
# one network of each naming scheme; the deeper ones are nightly
SHALLOW = ("resnet50", "resnet50_v2", "densenet121")


@pytest.fixture(scope="module")
def peer(trained):
    """Return a keras.applications model with random weights, for images of any size."""

    def build(name, classes=None, pooling="avg"):
        builder = getattr(keras.applications, FUNCTIONS[name])
        model = builder(weights=None, include_top=False, pooling=pooling)
        if classes:
            # like include_top=True, which allows only one size
            logits = keras.layers.Dense(classes, name="predictions")(model.output)
            model = keras.Model(model.input, logits, name=name)
        return trained(model)

    return build


@pytest.fixture(scope="module")
def densenet(peer):
    return peer("densenet121", 11)


@pytest.mark.parametrize("name", tiered(FUNCTIONS, slow=SHALLOW))
def test_a_model_is_recognised_and_computes_the_same(name, peer, same_logits):
    theirs = peer(name, 11)
    before = theirs.get_weights()
    ours = from_keras_applications(theirs)
    assert ours.name == name
    assert ours.input_shape == (None, None, None, 3)
    same_logits(theirs, ours, SIZES)
    for now, then in zip(theirs.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_network_has_the_tensors_of_its_peer(name, without_values):
    """The test compares names and shapes. The networks have no values."""
    theirs = getattr(keras.applications, FUNCTIONS[name])(weights=None)
    ours = from_keras_applications(theirs)
    assert ours.name == name
    assert ours.output_shape == theirs.output_shape
    biases = sum(np.prod(layer.bias.shape) for layer in theirs.layers if getattr(layer, "use_bias", False))
    kept = sum(np.prod(layer.bias.shape) for layer in ours.layers if getattr(layer, "use_bias", False))
    assert theirs.count_params() - biases == ours.count_params() - kept


POOLED = {("resnet50", None), ("resnet50_v2", "avg"), ("densenet121", "max")}


@pytest.mark.parametrize(
    ("name", "pooling"),
    tiered(itertools.product(SHALLOW, (None, "avg", "max")), slow=POOLED),
)
def test_without_the_classifier(name, pooling, peer, same_logits):
    theirs = peer(name, pooling=pooling)
    same_logits(theirs, from_keras_applications(theirs), SIZES)


def test_biases_on_the_trunk_add_up_in_float64():
    """Each norm that reads the trunk absorbs all biases added to it since the last projection."""
    random = np.random.default_rng(2)
    stages = {2: 3, 3: 2}
    norms = [f"conv{s}_block{i}_preact_bn" for s in stages for i in range(1, stages[s] + 1)]
    tensors = {
        f"{name}/{variable}": random.normal(size=4).astype("float32")
        for name, variable in [
            ("conv1_conv", "bias"),
            *((norm, "moving_mean") for norm in [*reversed(norms), "post_bn"]),
            *((f"conv{s}_block1_0_conv", "bias") for s in stages),
            *((norm.replace("preact_bn", "3_conv"), "bias") for norm in norms),
        ]
    }
    wide = {name: value.astype("float64") for name, value in tensors.items()}
    keras_applications._pre_biases(tensors)
    assert {name for name in tensors if name.endswith("bias")} == {"conv1_conv/bias"}

    def absorbed(name):
        return wide[f"{name}/moving_mean"] - tensors[f"{name}/moving_mean"]

    def bias(*names):
        return sum(wide[f"{name}_conv/bias"] for name in names)

    exact = {"rtol": 0, "atol": 1e-15}
    second = ["conv2_block1_0", "conv2_block1_3"]
    np.testing.assert_allclose(absorbed("conv2_block1_preact_bn"), 0, **exact)
    np.testing.assert_allclose(absorbed("conv2_block2_preact_bn"), bias(*second), **exact)
    np.testing.assert_allclose(absorbed("conv2_block3_preact_bn"), bias(*second, "conv2_block2_3"), **exact)
    second += ["conv2_block2_3", "conv2_block3_3"]
    np.testing.assert_allclose(absorbed("conv3_block1_preact_bn"), bias(*second), **exact)
    third = ["conv3_block1_0", "conv3_block1_3"]
    np.testing.assert_allclose(absorbed("conv3_block2_preact_bn"), bias(*third), **exact)
    np.testing.assert_allclose(absorbed("post_bn"), bias(*third, "conv3_block2_3"), **exact)


@slow
def test_a_file_gives_what_the_model_gives(densenet, same_logits, tmp_path):
    save_as_keras_2_did(densenet, tmp_path / "w.h5")
    ours = from_keras_applications(tmp_path / "w.h5", "densenet121", include_top=False, pooling="avg")
    assert ours.input_shape == (None, 224, 224, 3)
    same_logits(keras.Model(densenet.input, densenet.layers[-2].output), ours, [(224, 224)])


@slow
def test_a_file_without_the_classifier_says_so(peer, tmp_path):
    peer("densenet121").save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match=r"'predictions/kernel' for 'logits/kernel' .* is missing.*`include_top`"):
        from_keras_applications(tmp_path / "w.weights.h5", "densenet121")


def test_what_is_no_file_of_a_known_network(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file .*w\.h5"):
        from_keras_applications(tmp_path / "w.h5", "resnet50")
    with pytest.raises(ValueError, match=r"`name` is needed.*densenet121.*Received: name=None"):
        from_keras_applications(tmp_path / "w.h5")
    with pytest.raises(ValueError, match=r"Did you mean 'resnet50_v2'"):
        from_keras_applications(tmp_path / "w.h5", "resnet50v2")
    with pytest.raises(ValueError, match="Received: int"):
        from_keras_applications(3)


@slow
def test_a_model_that_is_not_known(densenet):
    with pytest.raises(ValueError, match=r"must be one of these.*resnet152_v2.*Received: 'other'"):
        from_keras_applications(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)], name="other"))
    with pytest.raises(ValueError, match=r"'densenet121'.*leave out `name`.*Received: name='resnet50'"):
        from_keras_applications(densenet, "resnet50")


@slow
def test_a_model_that_is_cut_off_names_what_is_missing(peer):
    theirs = peer("resnet50_v2", pooling=None)
    cut = keras.Model(theirs.input, theirs.get_layer("conv5_block3_out").output)
    with pytest.raises(ValueError, match=r"'post_bn/gamma' for 'final_norm/gamma' .* is missing"):
        from_keras_applications(cut)


@slow
def test_the_ends_are_those_of_the_model(trained):
    theirs = trained(keras.applications.DenseNet121(weights=None, classes=5, input_shape=(32, 64, 3)))
    ours = from_keras_applications(theirs)
    assert ours.input_shape == (None, 32, 64, 3)
    assert ours.output_shape == (None, 5)
    assert ours.layers[-1].name == "probabilities"
    images = np.ones((1, 32, 64, 3), "float32")
    np.testing.assert_allclose(ours(images), theirs(images), atol=1e-5)
    other = from_keras_applications(theirs, input_tensor=keras.Input((40, 40, 3)), classifier_activation="sigmoid")
    assert other.input_shape == (None, 40, 40, 3)


@slow
def test_overrides_reach_the_builder(densenet, same_logits):
    ours = from_keras_applications(densenet, norm={"name": "ghost_batch", "batch": 16}, memory_efficient=True)
    assert type(ours.get_layer("final_norm")) is bnzoo.layers.GhostBatchNormalization
    assert ours.get_layer("final_norm").epsilon == 1.001e-5
    same_logits(densenet, ours, SIZES[1:])


@slow
def test_other_classes_do_not_fit(densenet):
    with pytest.raises(ValueError, match=r"'predictions/kernel' .*\(1024, 11\).*'logits/kernel' has \(1024, 7\)"):
        from_keras_applications(densenet, classes=7)


@pytest.fixture
def download(monkeypatch, tmp_path):
    """A replacement for the download of a model's weights, which checks only that a hash is passed."""
    asked = []

    def serve(model):
        def get_file(fname, origin=None, *, file_hash=None, cache_subdir=None, **options):
            assert file_hash
            assert origin.startswith("https://")
            assert origin.endswith(fname)
            asked.append(fname)
            save_as_keras_2_did(model, tmp_path / fname)
            return str(tmp_path / fname)

        monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
        return asked

    return serve


@slow
def test_imagenet_goes_through_keras_own_download(densenet, download, same_logits):
    theirs = keras.Model(densenet.input, densenet.layers[-2].output)
    asked = download(theirs)
    ours = bnzoo.DenseNet121(weights="imagenet", include_top=False, pooling="avg", name="mine")
    assert asked == ["densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5"]
    assert ours.name == "mine"
    same_logits(theirs, ours, [(224, 224)])


@pytest.mark.parametrize("name", tiered(SHALLOW, slow=("resnet50",)))
def test_imagenet_with_its_classifier(name, peer, download, same_logits):
    theirs = peer(name, 1000)
    asked = download(theirs)
    ours = imagenet(name, classifier_activation=None, input_shape=(None, None, 3))
    assert len(asked) == 1
    assert "notop" not in asked[0]
    same_logits(theirs, ours, SIZES)


def test_what_imagenet_has_not_is_refused_before_anything_is_downloaded(download):
    asked = download(None)
    with pytest.raises(ValueError, match=r"Unknown network of keras\.applications: 'resnet18'.*resnet152_v2"):
        imagenet("resnet18")
    with pytest.raises(ValueError, match=r"`classes` must be 1000.*include_top=False.*Received: classes=10"):
        imagenet("resnet50", classes=10)
    with pytest.raises(ValueError, match="Received: norm='group'"):
        bnzoo.ResNet50(weights="imagenet", norm="group")
    assert not asked
