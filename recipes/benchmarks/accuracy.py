"""Measure the effect of the fused batch norm, and of bfloat16, on accuracy.

python -m recipes.benchmarks.accuracy [SEEDS]

A ResNet-20 is trained on the digits from the same weights and batches with Keras' batch norm, with bnzoo's, and with
bnzoo's in bfloat16. The losses after 0, 1, 2 and 10 updates are compared with those of Keras' layer. With any layer the
gradients diverge as soon as rounding moves an input of a ReLU to the other side of 0. The arm with Keras' layer and
reversed batches, which is equal except for rounding, shows the size of this effect.
"""

import statistics
import sys
from dataclasses import dataclass

import keras
import numpy as np

import bnzoo
from bnzoo import data
from recipes.benchmarks.training.contestants import with_keras_norm

EPOCHS, BATCH, LEARNING_RATE = 15, 64, 0.05
UPDATES = (0, 1, 2, 10)


@dataclass(frozen=True)
class Arm:
    """A training configuration."""

    name: str
    policy: str = "float32"
    keras_norm: bool = False
    reverse: bool = False


REFERENCE = Arm("Keras", keras_norm=True)
ARMS = (
    REFERENCE,
    Arm("Keras, reversed", keras_norm=True, reverse=True),
    Arm("bnzoo"),
    Arm("bnzoo, bfloat16", policy="mixed_bfloat16"),
)


def train(arm: Arm, seed: int, digits: data.Dataset) -> tuple[float, list[float]]:
    """Train an arm, and return its test accuracy and the loss of each batch."""
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(arm.policy)
    model = bnzoo.ResNet20Cifar(input_shape=digits.input_shape, classes=digits.classes)
    if arm.keras_norm:
        model = with_keras_norm(model)
    optimizer = keras.optimizers.SGD(LEARNING_RATE, momentum=0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    optimizer.build(model.trainable_variables)

    x, y = scaled(digits, digits.train.x), digits.train.y
    losses = []
    for chosen in batches(len(x), seed):
        model.reset_metrics()
        chosen = chosen[::-1] if arm.reverse else chosen
        losses.append(float(model.train_on_batch(x[chosen], y[chosen])[0]))
    return model.evaluate(scaled(digits, digits.test.x), digits.test.y, verbose=0)[1], losses


def batches(examples: int, seed: int) -> np.ndarray:
    """Return the indices of each batch, without incomplete batches."""
    random = np.random.default_rng(seed)
    epochs = [random.permutation(examples)[: examples // BATCH * BATCH] for _ in range(EPOCHS)]
    return np.concatenate(epochs).reshape(-1, BATCH)


def scaled(digits: data.Dataset, x: np.ndarray) -> np.ndarray:
    """Scale pixels to mean 0 and variance 1."""
    mean, variance = digits.scale
    return (x - mean) / np.sqrt(variance)


def main(seeds: int = 3) -> None:
    """Print a line for each arm."""
    digits = data.load("digits")
    runs = {(arm, seed): train(arm, seed, digits) for seed in range(seeds) for arm in ARMS}
    print(f"accuracy on {len(digits.test.y)} digits, {seeds} seeds; loss against Keras' after {UPDATES} updates")
    for arm in ARMS:
        accuracies = [100 * runs[arm, seed][0] for seed in range(seeds)]
        spread = statistics.stdev(accuracies) if seeds > 1 else 0.0
        apart = [max(_apart(runs, arm, seed, step) for seed in range(seeds)) for step in UPDATES]
        line = f"{arm.name:16} {statistics.mean(accuracies):5.2f} ± {spread:.2f} %   "
        print(line + ", ".join(f"{value:.0e}" for value in apart))


def _apart(runs: dict, arm: Arm, seed: int, step: int) -> float:
    expected = runs[REFERENCE, seed][1][step]
    return abs(runs[arm, seed][1][step] - expected) / expected


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
