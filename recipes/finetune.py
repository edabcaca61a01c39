"""Compare ways to fine-tune a network with batch norm on few examples that look different.

python -m recipes.finetune [FOLDER] [--quick]

A small ResNet is trained on the digits, and fine-tuned on 192 of its training digits as another camera would see them.
Its statistics do not fit these images. The validation and test digits are new. Every arm sees each example 6 times at
every batch size. A batch size of 2 therefore takes 32 times the steps of a batch size of 64: compare arms, not batch
sizes. The learning rate is proportional to the batch size. Its factor is the best of four on 270 validation digits, for
each arm and batch size. Mean test accuracy (719 digits) of 3 seeds, ± standard deviation:

                              batch 2     batch 8    batch 64
    unfrozen               90.7 ± 0.6  92.1 ± 0.7  84.1 ± 0.7
    unfrozen, recalibrated 91.4 ± 0.4  92.0 ± 0.1  88.3 ± 0.9
    frozen                 88.3 ± 1.4  88.9 ± 0.8  83.5 ± 3.0
    recalibrated, frozen   88.2 ± 0.6  88.9 ± 1.5  84.9 ± 0.5
    replaced               90.9 ± 0.9  90.1 ± 0.6  86.9 ± 0.6
    without training: untouched 29.3 ± 2.9, recalibrated only 42.3 ± 1.8

- Recalibrate after the last step. It gains 4.2 points at batch size 64; the other differences are within the spread of
  the seeds. After 18 steps, 15 % of the old statistics are left at momentum 0.9, and 83 % at 0.99, the default of
  Keras. Recalibration also makes a higher learning rate usable. Recalibration without training is cheap, so try it
  first.
- Freeze for a reason, not by habit. The usual advice for small batches is to freeze. Here it did not help: frozen is
  worse at every size, clearly at 8. In Keras 3, `trainable=False` means inference mode even with `training=True`, and
  freezes gamma and beta too: less can adapt. Freezing may be better if the new data looks like the old. Put your data
  into `shifted`, and run this program. Wu & Johnson 2021 discuss freezing: https://arxiv.org/abs/2105.07576.
- To recalibrate and freeze, recalibrate first: `recalibrate_batch_norm` skips frozen norms.
- Replace by group norm if batches must stay tiny, also in later trainings. It is not clearly worse than the best arm at
  any size.
- Compile after you set `trainable`, because Keras reads it when it compiles. `freeze_batch_norm` handles this for its
  own argument, but not for a model that contains it.
- For a new head, train the head first on the frozen base. Then unfreeze everything but the batch norms
  (`freeze_batch_norm` again), compile, and continue at a low learning rate. `base(x, training=False)` does not freeze
  the statistics: in a functional model, `fit` overrides it (Keras 3.15,
  https://github.com/keras-team/keras/issues/20285).
"""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
import typer
from matplotlib.figure import Figure

import bnzoo
from bnzoo import data, tools
from bnzoo.data import Dataset, Split
from bnzoo.files import whole_file

BATCH_SIZES = (2, 8, 64)
EXAMPLES, EPOCHS = 192, 6  # every batch size divides the examples, so no batch is shorter
RATES = (2e-4, 6e-4, 2e-3, 6e-3)  # per example in a batch (Goyal et al. 2017, section 2.1)
UNTRAINED = ("untouched", "recalibrated only")
ARMS = ("unfrozen", "unfrozen, recalibrated", "frozen", "recalibrated, frozen", "replaced")


def main(folder: Annotated[Path, typer.Argument()] = Path("runs/finetune"), quick: bool = False) -> None:
    """Fine-tune with every arm at every batch size, and print the best arm of each size.

    Args:
        folder: The folder for `finetune.csv` and `finetune.png`.
        quick: Use one seed and one learning rate. The results are not meaningful.
    """
    start = time.perf_counter()
    runs = pd.DataFrame(study(seeds=1 if quick else 3, rates=RATES[1:2] if quick else RATES))
    best = chosen(runs)
    print(table(best).to_string())
    print(*conclusions(runs), sep="\n")

    folder.mkdir(parents=True, exist_ok=True)
    with whole_file(folder / "finetune.csv") as draft:
        runs.to_csv(draft, index=False)
    with whole_file(folder / "finetune.png") as draft:
        plot(best).savefig(draft, dpi=100)
    print(f"{folder}: finetune.csv, finetune.png; {len(runs)} runs in {time.perf_counter() - start:.0f} s")


def shifted(split: Split, seed: int = 0) -> Split:
    """Return the digits as another camera sees them: mirrored, half the contrast, light from the right, noise."""
    light = np.linspace(0, 6, split.x.shape[2])[:, None]
    noise = np.random.default_rng(seed).normal(0, 1, split.x.shape)
    return Split((0.5 * split.x[:, :, ::-1] + light + noise).astype(np.float32), split.y)


def network(digits: Dataset) -> keras.Model:
    """Build a small ResNet with batch norm for raw pixels."""
    inputs = keras.Input(digits.input_shape)
    mean, variance = digits.scale
    x = keras.layers.Normalization(mean=mean, variance=variance)(inputs)
    norm = {"name": "batch", "momentum": 0.9}
    return keras.Model(inputs, bnzoo.ResNetCifar(8, norm=norm, input_shape=digits.input_shape)(x))


def compile_once(model: keras.Model) -> None:
    """Compile a model once for all of its runs, because tracing takes longer than a short training."""
    model.compile(
        keras.optimizers.SGD(momentum=0.9),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
        steps_per_execution=24,
    )


def fit(model: keras.Model, examples: Split, batch_size: int, epochs: int, rate: float, seed: int) -> None:
    """Train from the current weights of a model, with a reset optimizer."""
    for variable in model.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))
    model.optimizer.learning_rate = rate * batch_size
    batches = tf.data.Dataset.from_tensor_slices(tuple(examples)).shuffle(len(examples.x), seed=seed).batch(batch_size)
    model.fit(batches.repeat(epochs), shuffle=False, verbose=0)


def study(seeds: int, rates: tuple[float, ...]) -> Iterator[dict]:
    """Yield the seed, arm, batch size, rate, and shifted validation and test accuracy of every run."""
    digits = data.load("digits", test=0.4)
    held_out = {"validation": shifted(digits.validation, seed=1), "test": shifted(digits.test, seed=2)}
    live, frozen = network(digits), network(digits)
    tools.freeze_batch_norm(frozen)
    grouped = tools.replace_norm(live, "group")
    for model in (live, frozen, grouped):
        compile_once(model)
    recalibrate = tools.Recalibration(live)

    def run(model: keras.Model, seed: int, arm: str, batch_size: int = 0, rate: float = 0.0) -> dict:
        measured = {part: model.evaluate(*split, 256, verbose=0)[1] for part, split in held_out.items()}
        return {"seed": seed, "arm": arm, "batch_size": batch_size, "rate": rate, **measured}

    for seed in range(seeds):
        few = shifted(Split(*(array[seed * EXAMPLES :][:EXAMPLES] for array in digits.train)), seed=3 + seed)
        keras.utils.set_random_seed(seed)
        live.set_weights(network(digits).get_weights())
        fit(live, digits.train, batch_size=64, epochs=15, rate=2e-3, seed=seed)
        pretrained, carried = live.get_weights(), tools.replace_norm(live, "group").get_weights()
        yield run(live, seed, "untouched")
        recalibrate(few.x)
        yield run(live, seed, "recalibrated only")
        arms = {
            "unfrozen": (live, pretrained),
            "frozen": (frozen, pretrained),
            "recalibrated, frozen": (frozen, live.get_weights()),
            "replaced": (grouped, carried),
        }
        for (arm, (model, weights)), batch_size, rate in itertools.product(arms.items(), BATCH_SIZES, rates):
            model.set_weights(weights)
            fit(model, few, batch_size, EPOCHS, rate, seed)
            yield run(model, seed, arm, batch_size, rate)
            if arm == "unfrozen":
                recalibrate(few.x)
                yield run(model, seed, "unfrozen, recalibrated", batch_size, rate)


def chosen(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs at the best rate of each arm and batch size, by the mean validation accuracy over seeds."""
    case = ["arm", "batch_size", "rate"]
    best = runs.groupby(case)["validation"].mean().groupby(case[:2]).idxmax()
    return runs[runs.set_index(case).index.isin(best)]


def table(best: pd.DataFrame) -> pd.DataFrame:
    """Return the test accuracy in percent: the mean over seeds, and the standard deviation."""

    def cell(accuracy: pd.Series) -> str:
        return f"{100 * accuracy.mean():.1f}" + (f" ± {100 * accuracy.std():.1f}" if len(accuracy) > 1 else "")

    cells = best.groupby(["arm", "batch_size"])["test"].agg(cell).unstack().reindex([*UNTRAINED, *ARMS]).fillna("")
    return cells.rename(columns=lambda size: f"batch {size}" if size else "no training").rename_axis(columns=None)


def conclusions(runs: pd.DataFrame) -> list[str]:
    """Return the conclusions from the numbers, one sentence each."""
    best = chosen(runs)
    points = 100 * best.pivot(index="seed", columns=["batch_size", "arm"], values="test")
    said = [f"Batch {size}: {_leader(points[size])} {_cost(points[size])}" for size in BATCH_SIZES]
    rates = runs.loc[runs["batch_size"] > 0, "rate"]
    at_edge = best[best["rate"].isin([rates.min(), rates.max()])].groupby(["arm", "batch_size"]).ngroups
    if at_edge:
        said.append(f"{at_edge} of {len(ARMS) * len(BATCH_SIZES)} chose the smallest or largest learning rate tried.")
    return said


def _leader(points: pd.DataFrame) -> str:
    leader = points.mean().idxmax()
    equal = [repr(arm) for arm in points if arm != leader and not _is_clear(points[leader] - points[arm])]
    rest = f"not clearly behind: {', '.join(equal)}" if equal else "every other is clearly behind"
    return f"best is {leader!r}, {points[leader].mean():.1f} %; {rest}."


def _cost(points: pd.DataFrame) -> str:
    cost = points["frozen"] - points["unfrozen"]
    effect = f"{'costs' if cost.mean() > 0 else 'gains'} {abs(cost.mean()):.1f} points against 'frozen'"
    spread = f"spread over seeds {cost.std():.1f}" if len(cost) > 1 else "one seed, no spread known"
    return f"'unfrozen' {effect} ({'clear' if _is_clear(cost) else 'not clear'}; {spread})."


def _is_clear(difference: pd.Series) -> bool:
    """Return `True` if a difference, paired by seed, exceeds twice its standard deviation over seeds."""
    return bool(abs(difference.mean()) > 2 * difference.std())  # False for one seed, whose deviation is NaN


def plot(best: pd.DataFrame) -> Figure:
    """Draw the test accuracy over the batch size: a line through the means of each arm, and a point per seed."""
    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    for index, arm in enumerate(ARMS):
        of_arm = best[best["arm"] == arm].assign(percent=lambda runs: 100 * runs["test"])
        beside = 1.07 ** (index - (len(ARMS) - 1) / 2)  # so that the points of the arms do not overlap
        means = of_arm.groupby("batch_size")["percent"].mean()
        axes.plot(means.index * beside, means, color=f"C{index}", label=arm)
        axes.plot(of_arm["batch_size"] * beside, of_arm["percent"], "o", color=f"C{index}", markersize=4, alpha=0.7)
    axes.set_xscale("log", base=2)
    axes.set_xticks(BATCH_SIZES, [str(size) for size in BATCH_SIZES])
    axes.set(xlabel="batch size", ylabel="test accuracy, %")
    without = ", ".join(f"{100 * best.loc[best['arm'] == arm, 'test'].mean():.0f} % {arm}" for arm in UNTRAINED)
    axes.set_title(f"without training: {without}", fontsize="medium")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    return figure


if __name__ == "__main__":
    typer.run(main)
