"""Every norm in every placement of every family, if the pair is possible."""

import random

import keras
import numpy as np
import pytest
from backend import BACKEND, gradients
from tiers import tiered
from zoo import FAMILIES, build, examples, family_of, shaken

import bnzoo
from bnzoo import layers

NORM_LAYERS = {
    "batch": layers.BatchNormalization,
    "sync_batch": layers.SyncBatchNormalization,
    "ghost_batch": layers.GhostBatchNormalization,
    "batch_renorm": layers.BatchRenormalization,
    "group": keras.layers.GroupNormalization,
    "instance": keras.layers.GroupNormalization,
    "layer": keras.layers.LayerNormalization,
    "rms": layers.RMSNormalization,
    "filter_response": layers.FilterResponseNormalization,
    "evonorm_s0": layers.EvoNormS0,
    "dynamic_tanh": layers.DynamicTanh,
    "affine": layers.Affine,
}
# aliases are the same order
ALIASES = {("resnet", "original"), ("resnet", "full_preactivation")}


def has_meaning(name: str, norm: str | None, placement: str) -> bool:
    """Return `True` if a pair is possible, according to the papers and independent of the code."""
    if norm in ("filter_response", "evonorm_s0"):  # norm and activation in one
        return name != "vit" and placement not in ("act_norm", "relu_only_preactivation")
    return not (norm == "instance" and name.startswith("mlp"))  # one value to normalize


EVERY = [
    (name, norm, placement)
    for name in FAMILIES
    for norm in bnzoo.norms.list_norms()
    for placement in bnzoo.placements.list_placements(family_of(name))
    if (name, placement) not in ALIASES and not (norm == "sync_batch" and BACKEND != "tensorflow")
]


MEANINGFUL = [pair for pair in EVERY if has_meaning(*pair)]


def covering(pairs, pairwise=False):
    """Return pairs that cover each norm and each placement of each family; or any two of family, norm and placement."""
    seen, chosen = set(), []
    for name, norm, placement in random.Random(0).sample(pairs, len(pairs)):
        covered = {(norm, placement), (name, "norm", norm)} if pairwise else {("norm", norm)}
        new = {(name, placement), *covered} - seen
        if new:
            chosen.append((name, norm, placement))
            seen |= new
    return chosen


SOME = covering(MEANINGFUL)
SHALLOW = {"vit": {"depth": 1}}  # its blocks are alike


# JAX compiles each network, which takes seconds
@pytest.mark.parametrize(
    ("name", "norm", "placement"),
    tiered(MEANINGFUL, plain=SOME if BACKEND == "jax" else covering(MEANINGFUL, pairwise=True)),
)
def test_pairs(name, norm, placement):
    model = build(name, norm=norm, placement=placement, **SHALLOW.get(name, {}))
    every_norm = tuple(NORM_LAYERS.values())
    found = {type(layer) for layer in model.layers if isinstance(layer, every_norm)}
    assert found == ({NORM_LAYERS[norm]} if norm else set())
    assert all("_bn" not in layer.name for layer in model.layers)

    x = examples(model)
    for variable, gradient in zip(model.trainable_variables, gradients(model, x), strict=True):
        assert np.isfinite(gradient).all(), variable.path
        # a softmax is invariant to a constant that is added to all keys
        assert gradient.any() or variable.path.endswith("key/bias"), variable.path

    assert np.isfinite(np.asarray(model(x))).all()


@pytest.mark.parametrize(("name", "norm", "placement"), tiered(MEANINGFUL, plain=SOME))
def test_round_trips(tmp_path, name, norm, placement):
    """The test covers a .keras file, a weight file and the config."""
    model = shaken(build(name, norm=norm, placement=placement))
    x = examples(model)
    expected = np.asarray(model(x))
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(keras.saving.load_model(tmp_path / "model.keras")(x)), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    again = build(name, norm=norm, placement=placement, weights=tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(np.asarray(again(x)), expected)
    copy = type(model).from_config(model.get_config())
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(np.asarray(copy(x)), expected)


@pytest.mark.parametrize(("name", "norm", "placement"), [pair for pair in EVERY if not has_meaning(*pair)])
def test_pairs_without_a_meaning_are_refused(name, norm, placement):
    with pytest.raises(ValueError, match="Received: ") as error:
        build(name, norm=norm, placement=placement)
    message = str(error.value)
    if norm == "instance":
        assert "Choose another norm: batch, " in message
        return
    assert f"norm={norm!r}, placement={placement!r}" in message
    if name == "vit":
        assert "No placement of vit has one. Norms for vit: batch, sync_batch, " in message
        return
    words = [word for word in bnzoo.placements.list_placements(family_of(name)) if has_meaning(name, norm, word)]
    assert f"Placements for it in {family_of(name)}: {', '.join(words)}." in message


@pytest.mark.parametrize("norm", ["filter_response", "evonorm_s0"])
def test_hybrids_swallow_the_activation_behind_them(norm):
    def activations(**options):
        model = build("resnet", norm=norm, **options)
        return [layer.name for layer in model.layers if isinstance(layer, keras.layers.Activation)]

    assert activations(placement="pre") == []
    assert set(activations(placement="post")) == {f"{block}_out_act" for block in BLOCKS}
    with pytest.raises(ValueError, match="`activation` does not apply, since the norm"):
        build("resnet", norm=norm, activation="silu")


BLOCKS = ("conv2_block1", "conv3_block1", "conv3_block2")
