import pytest

import bnzoo
from bnzoo.weights.options import merged

TRAINED = {"norm": {"name": "batch", "epsilon": 1e-5, "momentum": 0.9}, "placement": "post", "stem": "imagenet"}
GROUP = {"norm": {"name": "group", "groups": 32, "epsilon": 1e-5}}


def test_what_is_free_is_taken_over():
    free = {"include_top": False, "pooling": "avg", "input_shape": (8, 8, 3), "drop_path_rate": 0.1, "name": "mine"}
    assert merged(TRAINED, free, "weights") == {**TRAINED, **free}


def test_what_says_the_same_is_no_contradiction():
    assert merged(TRAINED, {"placement": "post", "norm": "batch"}, "weights") == TRAINED
    assert merged(GROUP, {"norm": {"name": "group", "groups": 32}}, "weights") == GROUP


@pytest.mark.parametrize("norm", [{"name": "ghost_batch", "batch": 16}, bnzoo.Norm("sync_batch"), "ghost_batch"])
def test_another_batch_norm_gets_the_epsilon(norm):
    got = merged(TRAINED, {"norm": norm}, "weights")["norm"]
    assert got.items() >= {"epsilon": 1e-5, "momentum": 0.9}.items()
    assert got["name"] == bnzoo.norms.get(norm).name


def test_the_momentum_is_free():
    got = merged(TRAINED, {"norm": {"name": "batch", "momentum": 0.99}}, "weights")["norm"]
    assert got == {"name": "batch", "epsilon": 1e-5, "momentum": 0.99}


REFUSED = [
    (TRAINED, {"norm": "group"}, "'batch' or 'sync_batch' or 'ghost_batch' with epsilon=1e-05"),
    (TRAINED, {"norm": None}, "`norm` must be"),
    (TRAINED, {"norm": {"name": "batch", "epsilon": 1e-3}}, "epsilon=1e-05"),
    (GROUP, {"norm": {"name": "group", "groups": 16}}, "`norm` must be 'group' with groups=32, epsilon=1e-05"),
    (TRAINED, {"placement": "pre"}, "trained with placement='post'"),
    (TRAINED, {"stride_in_1x1": True}, "`stride_in_1x1` cannot be chosen: the weights were trained with the"),
    (TRAINED, {"weights": None}, "`weights` cannot be chosen"),
]


@pytest.mark.parametrize(("trained", "overrides", "message"), REFUSED, ids=str)
def test_a_contradiction_is_refused(trained, overrides, message):
    key = next(iter(overrides))
    with pytest.raises(ValueError, match=f"{message}.* Received: {key}="):
        merged(trained, overrides, "weights")
