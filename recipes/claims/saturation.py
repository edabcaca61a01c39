"""The claim that batch norm prevents saturation, so that networks of sigmoids train."""

import re
from collections.abc import Mapping
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from bnzoo.data import Dataset
from bnzoo.tools.health_check.activations import FLAT, flat
from bnzoo.tools.health_check.thresholds import SATURATED, SATURATED_BOUNDED
from bnzoo.tuning import MLPSpace, Space
from recipes.claims import rates
from recipes.claims.bench import Bench, rows
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.measures import test_accuracy
from recipes.claims.pictures import mean_and_seeds, panels
from recipes.claims.statistics import at_best_rate

ACTIVATIONS = ("sigmoid", "tanh", "relu")
# the shares of saturated units in a layer above which the health check warns
TOO_MANY = {"sigmoid": SATURATED_BOUNDED, "tanh": SATURATED_BOUNDED, "relu": SATURATED}
DEPTHS = (2, 4, 6, 8)
DEPTH = 6  # the depth of the verdict
TRAINS, FAILS = 0.9, 0.3
EPOCHS = 12
BEFORE, AFTER = "before training", "after training"


def flat_shares(model: keras.Model, x: np.ndarray, training: bool) -> dict[str, float]:
    """Return the share of units in the flat part of their activation for each hidden layer: `flat_1`, ...

    Args:
        model: An MLP with logits as outputs.
        x: Array, the examples.
        training: Boolean, whether batch norms use the statistics of these examples instead of their moving statistics.
    """
    activations = [layer for layer in model.layers if isinstance(layer, keras.layers.Activation)]
    read = {f"flat_{number}": layer.input for number, layer in enumerate(activations, start=1)}
    inputs = keras.Model(model.input, read)(x, training=training)
    return {name: _share(layer, inputs[name]) for name, layer in zip(read, activations, strict=True)}


def _share(activation: keras.layers.Layer, read: Any) -> float:
    if not np.isfinite(keras.ops.convert_to_numpy(read)).all():
        return np.nan
    return float(keras.ops.mean(flat(activation, read)))


def accuracy_and_shares(model: keras.Model, data: Dataset) -> dict[str, float]:
    """Return the accuracy on the test data, and `flat_shares` on the training data."""
    return {**test_accuracy(model, data), **flat_shares(model, data.train.x, training=False)}


def initial_shares(space: Space, values: Mapping[str, Any], seed: int, data: Dataset) -> dict[str, float]:
    """Return `flat_shares` of the untrained model of a trial, with the batch statistics of the training data.

    Args:
        space: A `Space` that knows the data.
        values: The hyperparameters of the trial.
        seed: Integer.
        data: A `Dataset`.
    """
    hp = keras_tuner.HyperParameters()
    hp.values = dict(values)
    keras.utils.set_random_seed(seed)
    return flat_shares(space.build(hp), data.train.x, training=True)


def measure(bench: Bench) -> pd.DataFrame:
    """Train MLPs of several depths and activations, and measure their saturation before and after training."""
    space = MLPSpace(
        depths=sorted({*bench.some(DEPTHS, quick=2), DEPTH}),
        learning_rates=(0.1, 1.0, bench.points(3, quick=2)),
        norms=("batch", None),
        placement="post",
        activation=bench.some(ACTIVATIONS, quick=2),
        width=64,
        momentum=0.0,
        weight_decay=0.0,
    )
    epochs = bench.epochs(EPOCHS, quick=10)
    results = bench.study("saturation", space, bench.data, epochs=epochs, measure=accuracy_and_shares)
    return pd.concat([_before(space, bench), rows(results, part=AFTER)], ignore_index=True)


def _before(space: MLPSpace, bench: Bench) -> pd.DataFrame:
    space, records = space.for_data(bench.data), []
    for values in space.grid():
        if values.pop("learning_rate") == min(space.learning_rates):
            for seed in range(bench.seeds):
                at = {**values, "learning_rate": min(space.learning_rates)}
                records.append({**values, "seed": seed, **initial_shares(space, at, seed, bench.data)})
    return pd.DataFrame(records).assign(part=BEFORE)


def trained(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of trained networks, each arm at its own best rate."""
    return at_best_rate(frame[frame["part"] == AFTER], ["activation", "depth", "norm"])


def _flat_columns(frame: pd.DataFrame) -> list[str]:
    return [name for name in frame.columns if re.fullmatch(r"flat_\d+", name)]


def accuracies(frame: pd.DataFrame) -> pd.Series:
    """Return the mean test accuracy by activation, depth and norm."""
    return trained(frame).groupby(["activation", "depth", "norm"], sort=False)["test_accuracy"].mean()


def most_saturated(frame: pd.DataFrame) -> pd.Series:
    """Return the largest share of saturated units in a layer, before and after training, at the depth `DEPTH`."""
    these = pd.concat([frame[frame["part"] == BEFORE], trained(frame)])
    these = these[these["depth"] == DEPTH]
    return these.groupby(["part", "activation", "norm"], sort=False)[_flat_columns(these)].mean().max(axis=1)


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether sigmoids train only with batch norm, and whether saturation is the reason."""
    accuracy, share = accuracies(frame), most_saturated(frame)
    with_norm, without = accuracy["sigmoid", DEPTH, "batch"], accuracy["sigmoid", DEPTH, "none"]
    at_start = share[BEFORE, "sigmoid", "none"]
    decides = with_norm >= TRAINS and without <= FAILS
    word = NOT if not decides else HOLDS if at_start > TOO_MANY["sigmoid"] else CONDITION
    condition = (
        ""
        if word != CONDITION
        else " But saturation does not prevent training without batch norm. The slope of a sigmoid is at most a "
        "quarter, and the product of the slopes of all layers is close to zero."
    )
    return Verdict(
        word,
        f"Test accuracy of {DEPTH} layers of sigmoids: {100 * with_norm:.1f} % with batch norm, {100 * without:.1f} % "
        f"without. Before training, {100 * at_start:.1f} % of the units in the most saturated layer are saturated "
        f"without a norm, and {100 * share[BEFORE, 'sigmoid', 'batch']:.1f} % with batch norm." + condition,
        (
            f"After training, {100 * share[AFTER, 'sigmoid', 'none']:.1f} % are saturated without a norm, and "
            f"{100 * share[AFTER, 'sigmoid', 'batch']:.1f} % with batch norm.",
            *_stalled(frame),
            *_others(accuracy),
        ),
    )


def _stalled(frame: pd.DataFrame) -> list[str]:
    """Count the stalled trainings without a norm, at any depth and rate, and those that ended saturated."""
    stalled = frame[(frame["part"] == AFTER) & (frame["norm"] == "none") & (frame["outcome"] == "stalled")]
    saturated = stalled[_flat_columns(stalled)].max(axis=1) > stalled["activation"].map(TOO_MANY)
    return [
        f"Of {len(ended)} stalled trainings of {name} without a norm, {ended.sum()} ended with more than "
        f"{100 * TOO_MANY[name]:.0f} % saturated units in a layer."
        for name, ended in saturated.groupby(stalled["activation"], sort=False)
    ]


def _others(accuracy: pd.Series) -> list[str]:
    deepest = accuracy.index.get_level_values("depth").max()
    return [
        f"{deepest} layers of {name}: {100 * accuracy[name, deepest, 'batch']:.1f} % with batch norm, "
        f"{100 * accuracy[name, deepest, 'none']:.1f} % without."
        for name in dict.fromkeys(accuracy.index.get_level_values("activation"))
    ]


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the test accuracy at each depth, and the saturation before and after training at the depth `DEPTH`."""
    accuracy = (100 * accuracies(frame)).unstack("depth").add_prefix("depth ").add_suffix(", %")
    layers = 100 * most_saturated(frame)
    for part in (BEFORE, AFTER):
        accuracy[f"flat {part}, %"] = [layers[part, *arm] for arm in accuracy.index]
    return accuracy.reset_index()


def draw(frame: pd.DataFrame) -> Figure:
    """Draw the test accuracy over the depth, and below it the share of saturated units in each layer."""
    after, before = trained(frame), frame[frame["part"] == BEFORE]
    activations = list(dict.fromkeys(after["activation"]))
    figure, axes = panels(len(activations), width=3.4, height=5.6, rows=2)
    for above, below, activation in zip(axes, axes[len(activations) :], activations, strict=False):
        for arm in rates.ARMS:
            label, colour = rates.NAMES[arm], rates.COLOURS[arm]
            of_arm = after[(after["activation"] == activation) & (after["norm"] == arm)]
            mean_and_seeds(above, of_arm, "depth", "test_accuracy", label=label, colour=colour)
            for part, rows_of, style in ((BEFORE, before, "--"), (AFTER, after, "-")):
                chosen = rows_of[
                    (rows_of["activation"] == activation) & (rows_of["norm"] == arm) & (rows_of["depth"] == DEPTH)
                ]
                share = 100 * chosen[_flat_columns(chosen)].mean().dropna()
                layers = [int(name.removeprefix("flat_")) for name in share.index]
                below.plot(layers, share, style, marker=".", color=colour, label=f"{label}, {part}")
        above.set(title=activation, xlabel="hidden layers", xticks=sorted(set(after["depth"])))
        below.set(xlabel=f"layer, of {DEPTH}", xticks=range(1, DEPTH + 1))
    axes[0].set_ylabel("test accuracy, %")
    axes[len(activations)].set_ylabel("saturated units, %")
    handles, labels = axes[len(activations)].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


CLAIM = Claim(
    statement="Batch normalization keeps activations in their range, so that even networks of sigmoids train.",
    evidence=(
        "Inception with sigmoids stays at chance without batch norm, and reaches 69.8 % with it (Ioffe & Szegedy 2015, "
        "section 4.2.2)."
    ),
    contradiction=(
        "A stable distribution of activations is not the mechanism. Networks with batch norm train equally well if "
        "noise changes the distribution after each norm at every step (Santurkar et al. 2018)."
    ),
    setup=(
        f"MLPs with {', '.join(map(str, DEPTHS))} hidden layers of 64 sigmoid, tanh or ReLU units, on scikit-learn's "
        f"digits. Plain SGD without momentum or weight decay, batches of 64, {EPOCHS} epochs, three learning rates "
        "from 0.1 to 1, which decay along half a cosine. Each arm uses the rate with its lowest mean validation loss. "
        f"A unit is saturated for an example if the slope of its activation is below {FLAT}: for ReLU, if its output "
        "is zero. Shares are measured on the training examples before and after training. Batch norms use the "
        "statistics of all training examples."
    ),
    criterion=(
        f"With sigmoids and {DEPTH} hidden layers, the test accuracy must be at least {100 * TRAINS:.0f} % with batch "
        f"norm and at most {100 * FAILS:.0f} % without. Otherwise `does not hold`. `holds` if saturation is the "
        f"reason: without a norm, more than {100 * TOO_MANY['sigmoid']:.0f} % of the units in a layer are saturated "
        "before training. The health check warns at the same threshold. Otherwise `holds with a condition`. "
        "Saturation after a failed training is not used, because it may be a result of the failure. Before a pilot "
        "run, any clearly larger share was enough for `holds`. The pilot showed a difference of less than a point, "
        "which is too small to prevent training."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        "Above: test accuracy over the number of hidden layers. Points are seeds. Below: the share of saturated units "
        f"in each layer of the networks with {DEPTH} layers, dashed before training, solid after training. A saturated "
        "ReLU has the output zero."
    ),
    references=(
        "[Ioffe & Szegedy 2015](https://arxiv.org/abs/1502.03167)",
        "[Santurkar et al. 2018](https://arxiv.org/abs/1805.11604)",
    ),
)
