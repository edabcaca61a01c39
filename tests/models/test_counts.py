"""Parameters and multiplications of every network, which equal those in its paper."""

import keras
import paper_counts
import pytest
from tiers import tiered
from zoo import build, state, trainable, without_values

import bnzoo

CARDS = [name for name in bnzoo.list_models() if bnzoo.model_card(name).params]
IN_PAPERS = {name for name, options, *_ in (*paper_counts.IMAGENET, *paper_counts.CIFAR) if not options}
# a shallow network of each family. Networks with other blocks, stems and shortcuts, and deep ones, are slow.
PLAIN = ("resnet18", "vit_ti16", "resnet20_cifar", "wrn16_4", "densenet40_12")


def rows(table):
    return tiered(table, plain=[row for row in table if row[0] in PLAIN], rest="slow")


def counted(name, **options):
    return without_values(bnzoo.create_model, name, **options)


def assert_as_on_the_card(model, name):
    card = bnzoo.model_card(name)
    assert trainable(model) == card.params
    assert bnzoo.models.count_macs(model).linear == card.macs
    assert model.name == name


@pytest.mark.parametrize(
    ("name", "options", "params", "statistics", "linear", "attention"), rows(paper_counts.IMAGENET)
)
def test_imagenet_networks(name, options, params, statistics, linear, attention):
    model = counted(name, **options)
    assert (trainable(model), state(model)) == (params, statistics)
    assert bnzoo.models.count_macs(model) == (linear, attention)
    assert model.output_shape == (None, 1000)
    if not options:
        assert_as_on_the_card(model, name)


@pytest.mark.parametrize(("name", "options", "params", "error"), rows(paper_counts.CIFAR))
def test_cifar_networks(name, options, params, error):
    model = counted(name, **options)
    assert trainable(model) == params
    assert model.output_shape == (None, 10)
    if error is not None:
        assert bnzoo.model_card(name).accuracy == pytest.approx(100 - error)
    if not options:
        assert_as_on_the_card(model, name)


@pytest.mark.slow
@pytest.mark.parametrize("norm", paper_counts.RESNET50_BY_NORM)
def test_resnet50_by_norm(norm):
    if norm == "sync_batch" and keras.backend.backend() != "tensorflow":
        pytest.skip("Keras synchronizes batch norm on TensorFlow only")
    model = counted("resnet50", norm=norm)
    assert (trainable(model), state(model)) == paper_counts.RESNET50_BY_NORM[norm]


def test_what_keras_applications_has_more_is_a_useless_bias_before_each_norm():
    theirs = without_values(keras.applications.ResNet50, weights=None)
    params, statistics = paper_counts.RESNET50_BY_NORM["batch"]
    assert (trainable(theirs), state(theirs)) == (params + statistics // 2, statistics)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CARDS if name not in IN_PAPERS])
def test_cards_tell_what_the_built_model_counts(name):
    """The counts in the papers' tables are compared above."""
    assert_as_on_the_card(counted(name), name)


# one network of each common builder
BUILDERS = ("resnet18", "resnet50_v2", "resnet20_cifar", "densenet_bc100_12", "vit_ti16")


@pytest.mark.parametrize("name", tiered(BUILDERS, plain=("resnet18", "resnet20_cifar", "vit_ti16"), rest="slow"))
def test_the_norm_and_placement_of_a_card_are_those_of_the_model(name):
    card, model = bnzoo.model_card(name), counted(name)
    explicit = counted(name, norm=card.norm, placement=card.placement)
    assert [layer.name for layer in explicit.layers] == [layer.name for layer in model.layers]
    assert [type(layer) for layer in explicit.layers] == [type(layer) for layer in model.layers]


def test_cards_name_their_sources():
    for name in CARDS:
        card = bnzoo.model_card(name)
        assert (card.accuracy is None) == (card.source == "")
        assert card.paper
        assert card.dataset in ("ImageNet", "CIFAR-10")
        assert bnzoo.model_card(name).builder is getattr(bnzoo, card.builder.__name__)


def test_macs_of_what_stands_inside_other_layers():
    plain, recomputed = (build("densenet", memory_efficient=choice) for choice in (False, True))
    assert bnzoo.models.count_macs(plain) == bnzoo.models.count_macs(recomputed)
    nested = keras.Sequential([keras.Input((8, 8, 2)), plain])
    assert bnzoo.models.count_macs(nested) == bnzoo.models.count_macs(plain)
    depthwise = keras.Sequential([keras.Input((6, 6, 5)), keras.layers.DepthwiseConv2D(3, depth_multiplier=2)])
    assert bnzoo.models.count_macs(depthwise).linear == 4 * 4 * 9 * 10
    with pytest.raises(ValueError, match="Build the model with an `input_shape`"):
        bnzoo.models.count_macs(build("resnet", input_shape=(None, None, 3)))


def test_macs_of_a_small_network_by_hand():
    model = bnzoo.ResNet((1,), groups=4, filters=8, stem="cifar", input_shape=(5, 6, 2), classes=10)
    stem, narrow, grouped, wide, shortcut = 9 * 2 * 8, 8 * 8, 9 * (8 // 4) * 8, 8 * 32, 8 * 32
    assert bnzoo.models.count_macs(model) == (30 * (stem + narrow + grouped + wide + shortcut) + 32 * 10, 0)


def test_listing():
    assert bnzoo.list_models("resnet1*_cifar") == ["resnet110_cifar", "resnet164_cifar", "resnet1001_cifar"]
    assert bnzoo.list_models("MLP") == ["mlp"]
    assert bnzoo.list_models("nothing") == []
