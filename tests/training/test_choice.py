import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from bnzoo.training.choice import clearly_lower, losses_of, take_if_better


@pytest.mark.parametrize(("shift", "clearly"), [(0.05, False), (0.5, True), (-0.5, False)])
def test_chance_does_not_explain_a_clearly_lower_loss(shift, clearly):
    random = np.random.default_rng(0)
    losses, others = random.random(100), random.random(100) + shift
    errors = (others - losses).mean() / stats.sem(others - losses, ddof=0)
    assert clearly_lower(losses, others) == (errors > 2) == clearly


def test_a_model_that_diverged_is_never_lower():
    assert clearly_lower(np.ones(4), np.full(4, np.nan))
    assert not clearly_lower(np.full(4, np.nan), np.ones(4))


def test_the_loss_of_another_model_is_that_of_keras():
    """The loss of a regression has a weight, the reciprocal of the variance of the targets."""
    model, other = (keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)]) for _ in range(2))
    model.compile(loss="mean_squared_error", loss_weights=0.25)

    def taken(weight):
        model.set_weights([np.ones((1, 1))])
        other.set_weights([np.full((1, 1), weight)])
        batches = tf.data.Dataset.from_tensors((np.ones((2, 1)), np.full((2, 1), 3.0)))
        return take_if_better(model, other, lambda: batches), float(model.get_weights()[0].item())

    assert taken(2.0) == ((True, 0.25), 2.0)
    assert taken(-1.0) == ((False, 4.0), 1.0)


@pytest.mark.parametrize("loss", ["mean_squared_error", keras.losses.MeanSquaredError()])
def test_the_loss_of_each_example_is_weighted(loss):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])
    model.compile(loss=loss)
    batches = [(np.ones((2, 1)), np.zeros((2, 1)), np.array([1.0, 3.0]))] * 2
    np.testing.assert_allclose(losses_of(model, batches), [4, 12, 4, 12])
