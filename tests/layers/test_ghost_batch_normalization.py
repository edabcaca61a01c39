import backend
import keras
import numpy as np
import numpy_norms
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from norm_cases import assert_close, call, inputs, shake, weights

from bnzoo.layers import GhostBatchNormalization
from bnzoo.tools import recalibrate_batch_norm


def ghost(size, channels=3, rank=2, **options):
    layer = GhostBatchNormalization(size, dtype=backend.DOUBLE, **options)
    layer.build((None, *[2] * (rank - 2), channels))
    shake(layer)
    return layer


def reference(layer, x, mask=None):
    options = {"batch": layer.batch, "momentum": layer.momentum, "epsilon": layer.epsilon}
    return numpy_norms.ghost_batch(x, weights(layer), options, mask)


@pytest.mark.slow
@given(
    size=st.integers(1, 20),
    ghost_size=st.one_of(st.integers(1, 25), st.just(1_000_000)),
    rank=st.integers(2, 4),
    masked=st.booleans(),
    data=st.data(),
)
@settings(max_examples=60 if backend.BACKEND == "tensorflow" else 12)
def test_any_batch_in_any_ghost_batches(size, ghost_size, rank, masked, data):
    seed = data.draw(st.integers(0, 100))
    x = inputs((size, *[2] * (rank - 2), 3), seed)
    mask = np.random.default_rng(seed).random(x.shape[:-1]) < 0.7 if masked and rank > 2 else None
    layer = ghost(ghost_size, rank=rank, epsilon=1e-2)
    expected, state = reference(layer, x, mask)
    assert_close(call(layer, x, mask), expected, None if backend.DOUBLE == "float64" else 1e-4)
    for key, moved in state.items():
        assert_close(weights(layer)[key], moved)


def test_one_traced_function_takes_every_size_of_batch():
    layer = ghost(4)
    function = backend.traced(layer, (None, 3))
    for size in (8, 1, 3, 4, 5, 9, 17):
        x = inputs((size, 3), seed=size)
        expected, state = reference(layer, x)
        np.testing.assert_allclose(function(x.astype(backend.DOUBLE)), expected, rtol=1e-3, atol=1e-4)
        for key, moved in state.items():
            assert_close(weights(layer)[key], moved)


def test_a_batch_in_one_ghost_batch_makes_batch_norm():
    x = inputs((8, 3))
    ours, plain = ghost(8), keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=backend.DOUBLE)
    plain.build(x.shape)
    plain.set_weights(ours.get_weights())
    assert_close(call(ours, x), call(plain, x))
    for key, value in weights(plain).items():
        assert_close(weights(ours)[key], value)


def test_the_order_of_the_examples_does_not_move_the_statistics():
    """One update per ghost batch, as in algorithm 1 of the paper, would give the last batch the largest weight."""
    x = inputs((9, 3))
    ours, other = ghost(4), ghost(4)
    call(ours, x)
    call(other, x[::-1])
    for key, value in weights(ours).items():
        assert_close(weights(other)[key], value)


def test_recalibration_gives_the_statistics_of_the_population():
    x = inputs((50, 3)).astype("float32")
    layer = GhostBatchNormalization(4)
    model = keras.Sequential([keras.Input((3,)), layer])
    recalibrate_batch_norm(model, x, batch_size=12)
    np.testing.assert_allclose(np.asarray(layer.moving_mean.value), x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(np.asarray(layer.moving_variance.value), x.var(0), rtol=1e-4)


def test_many_examples_with_a_large_mean():
    x = (1000 + inputs((300, 5, 5, 2))).astype("float32")
    layer = GhostBatchNormalization(64)
    outputs = backend.forward(layer, x)
    expected = [chunk - chunk.mean((0, 1, 2)) for chunk in np.split(x.astype("float64"), range(64, 300, 64))]
    expected = np.concatenate([centred / np.sqrt((centred**2).mean((0, 1, 2)) + 1e-5) for centred in expected])
    np.testing.assert_allclose(outputs, expected, atol=1e-3)


@pytest.mark.parametrize("batch", [0, -1, 2.5, True, "8", None])
def test_refuses_what_is_no_size(batch):
    with pytest.raises(ValueError, match=f"`batch` must be a positive integer. Received: batch={batch!r}"):
        GhostBatchNormalization(batch)
