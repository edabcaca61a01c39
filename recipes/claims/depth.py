"""The claim that batch norm lets deeper networks train."""

from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bnzoo import MLP
from bnzoo.data import Dataset
from recipes.claims.bench import Bench, rows
from recipes.claims.claim import CONDITION, HOLDS, NOT, Claim, Verdict
from recipes.claims.measures import standardized
from recipes.claims.networks import FILTERS, KINDS, MLPKinds, ResNetKinds
from recipes.claims.pictures import log_axis, mean_and_seeds, panels
from recipes.claims.statistics import LEVEL, LEVEL_ON_IMAGES, at_best_rate, interval, level, paired

POINTS = 5.0  # the largest loss of the deepest plain network against the shallowest
SLOPES = (1.15, 1.27)
PREDICTED = float(np.sqrt(np.pi / (np.pi - 1)))  # Yang et al. 2019, in the limit of large batches
GRADIENTS = "gradients"
MLPS, RESNETS = "MLP", "ResNet"
NETWORKS = {MLPS: "MLP", RESNETS: "convolutional network"}
LOOKS = {"batch": "-", "none": "--"}
NAMES = {"plain": "plain", "residual": "residual", "skipinit": "SkipInit", "batch": "batch norm", "none": "no norm"}
_DEPTH, _WIDTH, _BATCH = 31, 512, 512


def measure(bench: Bench) -> pd.DataFrame:
    """Run the study of each network, and measure the gradients before training. On images there is no MLP."""
    # both grids begin below the best rate of the deepest networks without a norm
    mlp = MLPKinds(
        depths=bench.some((5, 11, 21, 41), quick=2, smallest=(5, 11)),
        learning_rates=(0.002, 4.0, bench.points(6, quick=4)),
        norms=("batch", None),
        width=64,
        momentum=0.0,
        weight_decay=0.0,
        kind=KINDS,
    )
    resnet = ResNetKinds(
        depths=bench.some((8, 20, 32), quick=bench.on(digits=1, images=2), smallest=(8,)),
        learning_rates=(0.003, 0.3, bench.points(3, quick=3)),
        norms=("batch", None),
        placement="pre",
        filters=FILTERS,
        weight_decay=0.0,
        kind=KINDS,
    )
    studies = {RESNETS: (resnet, bench.epochs(*bench.on(digits=(4, 4), images=(3, 6))))}
    if bench.file is None:
        studies = {MLPS: (mlp, bench.epochs(8, quick=5)), **studies}
    trained = [
        rows(bench.study(f"depth-{space.name}", space, bench.data, epochs=epochs), part=part)
        for part, (space, epochs) in studies.items()
    ]
    frame = pd.concat([*trained, gradients(bench)], ignore_index=True)
    return frame.assign(**bench.on(digits={}, images={"level": LEVEL_ON_IMAGES}))


def gradients(bench: Bench) -> pd.DataFrame:
    """Measure the gradient norm at each layer of wide MLPs before training, on one batch."""
    records = []
    for kind, norm in (("plain", "batch"), ("plain", "none"), ("residual", "batch"), ("residual", "none")):
        for seed in range(bench.seeds):
            norms = gradient_norms(bench.data, kind, norm, seed)
            records += [{"kind": kind, "norm": norm, "seed": seed, "layer": i, "gradient": g} for i, g in norms.items()]
    return pd.DataFrame(records).assign(part=GRADIENTS)


def gradient_norms(
    data: Dataset, kind: str, norm: str, seed: int, depth: int = _DEPTH, width: int = _WIDTH
) -> dict[int, float]:
    """Return the norm of the loss gradient at each hidden layer before training, in training mode.

    Args:
        data: A `Dataset`. The first batch of its training data is used.
        kind: String, `"plain"` or `"residual"`.
        norm: String, the norm, or `"none"`.
        seed: Integer.
        depth: Integer, the number of hidden layers.
        width: Integer, the units of each layer.

    Returns:
        Dict from the number of a layer to the norm, for all layers but the last. The gradient is that by the output of
        the dense layer or, in residual networks, of the addition.
    """
    keras.utils.set_random_seed(seed)
    x = standardized(data, _BATCH).astype("float32")
    options: dict[str, Any] = {"residual": kind == "residual", "norm": None if norm == "none" else norm}
    model = MLP(
        depth, width, include_top=False, features=True, placement="pre", input_shape=data.input_shape, **options
    )
    head = keras.layers.Dense(data.classes)
    with tf.GradientTape() as tape:
        layers = model(x, training=True)
        _, last = layers.popitem()
        loss = keras.losses.sparse_categorical_crossentropy(data.train.y[:_BATCH], head(last), from_logits=True)
        loss = tf.reduce_mean(loss)
    by_layer = tape.gradient(loss, list(layers.values()))
    return {_number(name): float(tf.norm(gradient)) for name, gradient in zip(layers, by_layer, strict=True)}


def _number(name: str) -> int:
    """Return the number of the last hidden layer in a stage. The first stage has one layer, each block has two."""
    stage, number = name.split("_")
    return 2 * int(number) + 1 if stage == "block" else int(number)


def slope(frame: pd.DataFrame) -> float:
    """Return the growth factor of the gradient per layer towards the input, fitted to the middle half of the layers."""
    means = np.log(frame.set_index(["seed", "layer"])["gradient"]).groupby(level="layer").mean()
    deepest = means.index.max()
    middle = means[(means.index >= deepest / 4) & (means.index <= 3 * deepest / 4)]
    return float(np.exp(-np.polyfit(middle.index, middle, 1)[0]))


def slopes(frame: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Return the growth factor of each kind and norm."""
    of_gradients = frame[frame["part"] == GRADIENTS]
    return {arm: slope(of_arm) for arm, of_arm in of_gradients.groupby(["kind", "norm"], sort=False)}


def best(frame: pd.DataFrame, part: str) -> pd.DataFrame:
    """Return the rows of a network at the best rate of each kind, norm and depth."""
    return at_best_rate(frame[frame["part"] == part], ["kind", "norm", "depth"])


def judge(frame: pd.DataFrame) -> Verdict:
    """Judge whether the deepest plain network trains as well as the shallowest, or only with shortcuts."""
    first, *others = _networks(frame)
    trained, name = best(frame, first), NETWORKS[first]
    ends = trained["depth"].min(), trained["depth"].max()
    plain = trained[(trained["kind"] == "plain") & (trained["norm"] == "batch")]
    loss = interval(100 * paired(plain, "depth", *ends, "test_accuracy"))
    means = trained[trained["depth"] == ends[1]].groupby(["kind", "norm"])["test_accuracy"].mean()
    growth = slopes(frame)
    explodes = SLOPES[0] <= growth["plain", "batch"] <= SLOPES[1]
    with_shortcut = means["residual", "batch"] >= level(frame) and explodes
    word = HOLDS if loss.mean <= POINTS else CONDITION if with_shortcut else NOT
    condition = " Batch norm needs the shortcut." if word == CONDITION else ""
    return Verdict(
        word,
        f"The plain {name} with batch norm loses {loss.text(sign=False)} points from depth {ends[0]:g} to "
        f"{ends[1]:g}. Accuracy at depth {ends[1]:g} with batch norm: {_accuracies(means, 'batch')}. Before training, "
        f"the gradient of the plain MLP grows by a factor of {growth['plain', 'batch']:.2f} per layer towards the "
        f"input ({PREDICTED:.2f} predicted).{condition}",
        (
            f"Accuracy at depth {ends[1]:g} without a norm: {_accuracies(means, 'none')}.",
            _best_rates(frame, first),
            "Growth factor of the gradient per layer: "
            + ", ".join(f"{_name(*arm)} {value:.2f}" for arm, value in growth.items())
            + ".",
            *(said for part in others for said in (*_at_largest_depth(frame, part), _best_rates(frame, part))),
        ),
    )


def _networks(frame: pd.DataFrame) -> list[str]:
    """Return the trained networks of the rows. The first one decides."""
    return [part for part in NETWORKS if part in set(frame["part"])]


def _accuracies(means: pd.Series, norm: str) -> str:
    return ", ".join(f"{NAMES[kind]} {100 * means[kind, norm]:.1f} %" for kind in KINDS)


def _best_rates(frame: pd.DataFrame, part: str) -> str:
    of_best = best(frame, part)
    chosen = of_best.groupby(["kind", "norm", "depth"])["learning_rate"].first()
    rates = "; ".join(f"{_name(kind, norm)} {_listed(chosen[kind, norm])}" for kind in KINDS for norm in LOOKS)
    return f"Best learning rates of the {NETWORKS[part]}s at depths {_listed(sorted(set(of_best['depth'])))}: {rates}."


def _at_largest_depth(frame: pd.DataFrame, part: str) -> tuple[str, ...]:
    of_best = best(frame, part)
    deepest = of_best["depth"].max()
    means = of_best[of_best["depth"] == deepest].groupby(["kind", "norm"])["test_accuracy"].mean()
    name = NETWORKS[part].capitalize()
    return tuple(f"{name}s of {deepest:g} layers, {NAMES[norm]}: {_accuracies(means, norm)}." for norm in LOOKS)


def _name(kind: str, norm: str) -> str:
    return f"{NAMES[kind]}, {NAMES[norm]}"


def _listed(values: Any) -> str:
    return ", ".join(f"{value:g}" for value in values)


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the test accuracy at the best rate, with a row per kind and norm and a column per depth."""
    parts = []
    for part in _networks(frame):
        means = 100 * best(frame, part).groupby(["kind", "norm", "depth"], sort=False)["test_accuracy"].mean()
        wide = means.unstack("depth").rename(columns=lambda depth: f"depth {depth:g}, %")
        parts.append(wide.reset_index().assign(network=part))
    of_all = pd.concat(parts, ignore_index=True)
    return of_all[["network", "kind", "norm", *(name for name in of_all if name.startswith("depth"))]]


def draw(frame: pd.DataFrame) -> Figure:
    """Draw accuracy over depth for each network, and the gradients before training."""
    networks = _networks(frame)
    figure, axes = panels(len(networks) + 1, share_y=False)
    for shown, part in zip(axes, networks, strict=False):
        of_best = best(frame, part)
        for index, kind in enumerate(KINDS):
            for norm, style in LOOKS.items():
                arm = of_best[(of_best["kind"] == kind) & (of_best["norm"] == norm)]
                label = _name(kind, norm)
                colour = f"C{index}"
                mean_and_seeds(shown, arm, "depth", "test_accuracy", label=label, colour=colour, linestyle=style)
        log_axis(shown, sorted(set(of_best["depth"])), "depth", base=2)
        shown.set(title=part, ylim=(0, 103))
    axes[0].set_ylabel("test accuracy, %")
    _draw_gradients(axes[-1], frame[frame["part"] == GRADIENTS])
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_gradients(axes: Axes, frame: pd.DataFrame) -> None:
    """Draw the gradient at each layer relative to the last layer, and the predicted line."""
    for (kind, norm), arm in frame.groupby(["kind", "norm"], sort=False):
        means = np.exp(np.log(arm.set_index(["seed", "layer"])["gradient"]).groupby(level="layer").mean())
        colour = f"C{KINDS.index(kind)}"
        axes.plot(means.index, means / means.iloc[-1], LOOKS[norm], color=colour)
    layers = np.sort(frame["layer"].unique())
    label = f"predicted, {PREDICTED:.2f} a layer"
    axes.plot(layers, PREDICTED ** (layers[-1] - layers), ":", color="black", label=label)
    axes.set(yscale="log", title="gradient before training", xlabel="hidden layer")
    axes.legend(frameon=False)


CLAIM = Claim(
    statement="Batch normalization lets deeper networks train.",
    evidence=(
        "A ResNet of 110 layers with batch norm trains better than a shallower one (He et al. 2015, table 6). With "
        "batch norm, Inception trains at rates at which it otherwise diverges (Ioffe & Szegedy 2015)."
    ),
    contradiction=(
        f"Without shortcuts, batch norm makes gradients explode, by a factor of {PREDICTED:.2f} per layer with ReLU "
        "(Yang et al. 2019). Plain networks with batch norm get worse with depth (He et al. 2015, figure 1). With "
        "shortcuts no norm is needed: equally deep networks train if their branches start at zero (SkipInit, De & "
        "Smith 2020; Fixup, Zhang et al. 2019)."
    ),
    setup=(
        "MLPs with 5, 11, 21 and 41 hidden layers of 64 ReLU units, on scikit-learn's digits. There are three kinds: "
        "plain, residual (a shortcut over every two layers), and SkipInit (residual, with a trainable factor at the "
        "end of each branch that starts at zero). Each kind is trained with batch norm and without a norm. Norm and "
        "activation come before the weights, as in He et al. 2016, so that shortcuts are the identity. Plain SGD "
        "without momentum or weight decay, batches of 64, 8 epochs, six rates from 0.002 to 4. In addition "
        f"convolutional networks of 8, 20 and 32 layers in the same kinds: {FILTERS} channels in the first stage, SGD "
        "with momentum 0.9, 4 epochs, rates 0.003, 0.03 and 0.3. Each combination of kind, norm and depth uses the "
        "rate with its lowest mean validation loss. Before training, the gradient of the loss by the output of each "
        f"layer is measured in an MLP with {_DEPTH} layers of {_WIDTH} units, on a batch of {_BATCH}. Its growth is "
        "the slope of its logarithm over the middle half of the layers."
    ),
    criterion=(
        f"`holds` if the plain MLP with batch norm loses at most {POINTS:g} points from the smallest to the largest "
        "depth, in the mean over the seeds. `holds with a condition` if it loses more, but the residual MLP with "
        f"batch norm reaches {100 * LEVEL:g} % at the largest depth, and the gradient of the plain MLP grows by a "
        f"factor of {SLOPES[0]} to {SLOPES[1]} per layer. Otherwise `does not hold`. The convolutional networks are "
        "reported, but have no influence on the verdict. After a first run the grids of rates were made wider, because "
        "several of the best rates were at an end; the criterion is as before."
    ),
    measure=measure,
    judge=judge,
    table=table,
    draw=draw,
    caption=(
        "Test accuracy over depth, at the best rate of each combination. Lines connect the means, points are seeds. "
        "Right: the gradient at each layer before training, relative to the last layer shown. The "
        "input is on the left, the output on the right."
    ),
    references=(
        "[He et al. 2015](https://arxiv.org/abs/1512.03385)",
        "[He et al. 2016](https://arxiv.org/abs/1603.05027)",
        "[Ioffe & Szegedy 2015](https://arxiv.org/abs/1502.03167)",
        "[Yang et al. 2019](https://arxiv.org/abs/1902.08129)",
        "[De & Smith 2020](https://arxiv.org/abs/2002.10444)",
        "[Zhang et al. 2019](https://arxiv.org/abs/1901.09321)",
    ),
    on_images=(
        f"Convolutional networks of 8, 20 and 32 layers with {FILTERS} filters in the first stage, in the same kinds, "
        "instead of the MLPs. SGD with momentum 0.9, without weight decay, batches of 64, 3 epochs (6 in the quick "
        "run), rates 0.003, 0.03 and 0.3. The gradients before training are those of the same MLP, with the images as "
        "inputs: those of the convolutional networks are not measured. The criterion is the same, with the plain and "
        f"the residual convolutional network instead of the MLPs, and {100 * LEVEL_ON_IMAGES:g} % instead of "
        f"{100 * LEVEL:g} %: networks of this size do not reach {100 * LEVEL:g} % on images that are harder than "
        "digits."
    ),
)
