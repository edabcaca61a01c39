"""The verdict on saturation follows from accuracies and shares; shares agree with slopes in closed form."""

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest

from bnzoo import MLP
from bnzoo.tuning import MLPSpace
from recipes.claims.saturation import AFTER, BEFORE, DEPTH, draw, flat_shares, initial_shares, judge, table

SHARES = {(BEFORE, "batch"): 0.10, (BEFORE, "none"): 0.02, (AFTER, "batch"): 0.30, (AFTER, "none"): 0.25}


def planted(batch: float = 0.95, none: float = 0.10, shares: dict | None = None, seeds: int = 3) -> pd.DataFrame:
    """Return rows of two depths. The rate 1 is the best of each arm, and at 0.1 nothing is learned."""
    shares, rows = {**SHARES, **(shares or {})}, []
    for depth in (2, DEPTH):
        for activation in ("sigmoid", "relu"):
            for norm, accuracy in (("batch", batch), ("none", none)):
                for seed in range(seeds):
                    arm = {"depth": depth, "activation": activation, "norm": norm, "seed": seed}
                    for part, rate in ((BEFORE, np.nan), (AFTER, 0.1), (AFTER, 1.0)):
                        layers = {f"flat_{i}": shares[part, norm] + 0.01 * i for i in range(1, depth + 1)}
                        rows.append({**arm, "part": part, "learning_rate": rate, **layers})
                        if part == AFTER:
                            rows[-1] |= {"score": 3 - rate, "test_accuracy": accuracy if rate == 1 else 0.0}
                            rows[-1]["outcome"] = "ok" if norm == "batch" else "stalled"
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("rows", "word"),
    [
        (planted(shares={(BEFORE, "none"): 0.45}), "holds"),
        (planted(), "holds with a condition"),
        (planted(shares={(BEFORE, "none"): 0.43}), "holds with a condition"),
        (planted(shares={(BEFORE, "batch"): 0.90, (AFTER, "none"): 0.90}), "holds with a condition"),
        (planted(batch=0.85), "does not hold"),
        (planted(none=0.50), "does not hold"),
        (planted(batch=np.nan), "does not hold"),
        (planted(seeds=1), "holds with a condition"),
    ],
)
def test_the_verdict_follows_from_accuracies_and_shares(rows, word):
    assert judge(rows).word == word


def test_the_numbers_are_those_of_the_rows():
    verdict = judge(planted())
    assert "Test accuracy of 6 layers of sigmoids: 95.0 % with batch norm, 10.0 % without" in verdict.sentence
    assert "saturation does not prevent training" in verdict.sentence
    # the shares rise by a point per layer, so the sixth is six points above the planted share
    assert "Before training, 8.0 % of the units" in verdict.sentence
    assert "without a norm, and 16.0 % with batch norm" in verdict.sentence
    assert verdict.notes == (
        "After training, 31.0 % are saturated without a norm, and 36.0 % with batch norm.",
        *(
            f"Of 12 stalled trainings of {name} without a norm, 0 ended with more than {limit} saturated units "
            "in a layer."
            for name, limit in (("sigmoid", "50 %"), ("relu", "95 %"))
        ),
        *(f"6 layers of {name}: 95.0 % with batch norm, 10.0 % without." for name in ("sigmoid", "relu")),
    )


def test_saturated_ends_are_counted_by_activation():
    rows = planted(shares={(AFTER, "none"): 0.45})
    rows.loc[rows["activation"] == "relu", "outcome"] = "ok"
    # of two layers the last has 47 %, of six 51 %
    assert "Of 12 stalled trainings of sigmoid without a norm, 6 ended" in judge(rows).notes[1]
    assert sum("stalled" in note for note in judge(rows).notes) == 1


def test_the_table_has_the_accuracy_at_each_depth_and_the_most_saturated_layer():
    found = table(planted()).set_index(["activation", "norm"])
    assert found.loc[("sigmoid", "batch"), "depth 2, %"] == pytest.approx(95)
    assert found.loc[("relu", "none"), "depth 6, %"] == pytest.approx(10)
    assert found.loc[("relu", "none"), "flat before training, %"] == pytest.approx(8)
    assert found.loc[("sigmoid", "batch"), "flat after training, %"] == pytest.approx(36)


def test_the_picture_has_accuracies_above_and_shares_of_each_layer_below():
    figure = draw(planted())
    assert [axes.get_title() for axes in figure.axes] == ["sigmoid", "relu", "", ""]
    shares = {line.get_label(): line for line in figure.axes[2].lines}
    assert list(shares["no norm, before training"].get_xdata()) == [1, 2, 3, 4, 5, 6]
    assert list(shares["batch norm, after training"].get_ydata()) == pytest.approx([31, 32, 33, 34, 35, 36])
    assert len(figure.legends[0].get_texts()) == 4


def _slope(activation: str, x: np.ndarray) -> np.ndarray:
    s = 1 / (1 + np.exp(-x))
    return {"sigmoid": s * (1 - s), "tanh": 1 - np.tanh(x) ** 2, "relu": (x > 0).astype(float)}[activation]


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
def test_shares_are_those_of_slopes_in_closed_form(activation):
    model = MLP(
        depth=2, width=16, input_shape=(5,), classes=3, classifier_activation=None, norm=None, activation=activation
    )
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.normal(0, 1.5, weight.shape))
    x = random.normal(size=(200, 5)).astype("float32")
    (first, bias), (second, second_bias) = (model.get_layer(f"hidden_{i}_dense").get_weights() for i in (1, 2))
    before = x.astype(float) @ first + bias
    after = getattr(keras.activations, activation)(before).numpy() @ second + second_bias
    expected = {
        f"flat_{i}": (np.abs(_slope(activation, values)) < 0.05).mean() for i, values in ((1, before), (2, after))
    }
    found = flat_shares(model, x, training=False)
    assert found == pytest.approx(expected, abs=2 / 3200)  # one or two values are at the threshold
    assert 0.1 < found["flat_1"] < 0.9


def test_a_layer_whose_inputs_are_lost_has_no_share():
    model = MLP(depth=1, width=4, input_shape=(5,), classes=3, classifier_activation=None, norm=None, activation="tanh")
    model.get_layer("hidden_1_dense").kernel.assign(np.full((5, 4), np.nan))
    assert np.isnan(flat_shares(model, np.ones((2, 5), "float32"), training=False)["flat_1"])


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_before_training_batch_norm_takes_the_statistics_of_all_examples(digits, activation):
    space = MLPSpace(
        depths=(1,), learning_rates=(0.1, 0.1, 1), norms=("batch",), placement="post", width=64, activation=activation
    ).for_data(digits)
    values = {"depth": 1, "norm": "batch", "learning_rate": 0.1}
    found = initial_shares(space, values, 3, digits)
    assert initial_shares(space, values, 3, digits) == found != initial_shares(space, values, 4, digits)

    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    keras.utils.set_random_seed(3)
    kernel = space.build(hp).get_layer("hidden_1_dense").get_weights()[0].astype(float)
    mean, variance = (np.asarray(value) for value in digits.scale)
    values = ((digits.train.x - mean) / np.sqrt(variance)).reshape(len(digits.train.x), -1) @ kernel
    standard = (values - values.mean(axis=0)) / np.sqrt(values.var(axis=0) + 1e-5)
    expected = (np.abs(_slope(activation, standard)) < 0.05).mean()
    assert found == {"flat_1": pytest.approx(expected, abs=1e-3)}
    assert expected > 0
