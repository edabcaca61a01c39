import keras
import numpy as np
import pytest
from scipy import stats

from bnzoo.training.choice import clearly_lower, losses_of


@pytest.mark.parametrize(("shift", "clearly"), [(0.05, False), (0.5, True), (-0.5, False)])
def test_chance_does_not_explain_a_clearly_lower_loss(shift, clearly):
    random = np.random.default_rng(0)
    losses, others = random.random(100), random.random(100) + shift
    errors = (others - losses).mean() / stats.sem(others - losses, ddof=0)
    assert clearly_lower(losses, others) == (errors > 2) == clearly


def test_a_model_that_diverged_is_never_lower():
    assert clearly_lower(np.ones(4), np.full(4, np.nan))
    assert not clearly_lower(np.full(4, np.nan), np.ones(4))


@pytest.mark.parametrize("loss", ["mean_squared_error", keras.losses.MeanSquaredError()])
def test_the_loss_of_each_example_is_weighted(loss):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Rescaling(2.0)])
    model.compile(loss=loss)
    batches = [(np.ones((2, 1)), np.zeros((2, 1)), np.array([1.0, 3.0]))] * 2
    np.testing.assert_allclose(losses_of(model, batches), [4, 12, 4, 12])
