"""Published accuracies in the cards, compared with the records of torchvision."""

import pytest

import bnzoo

CITED = [name for name in bnzoo.list_models() if bnzoo.model_card(name).source.startswith("torchvision")]


def test_torchvision_is_cited():
    assert {"resnet50", "densenet121", "vit_b16"} <= set(CITED)


@pytest.mark.extras("torch", "torchvision")
@pytest.mark.parametrize("name", CITED)
def test_accuracies_are_as_recorded(torchvision, name):
    peer = name.replace("vit_b", "vit_b_").replace("vit_l", "vit_l_")
    meta = torchvision.models.get_model_weights(peer)["IMAGENET1K_V1"].meta
    card = bnzoo.model_card(name)
    assert card.accuracy == pytest.approx(meta["_metrics"]["ImageNet-1K"]["acc@1"])
    assert card.params == meta["num_params"]
