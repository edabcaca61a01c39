"""Compare the speed of TensorFlow's fused batch norm with that of Keras' operations.

python -m recipes.benchmarks.batch_norm

Times the forward and backward pass in training, alternating between both. The results determine the cases in which
`bnzoo.layers.BatchNormalization` uses the fused kernel on a CPU (`bnzoo/layers/fused_batch_norm.py`).
"""

import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import tensorflow as tf

from bnzoo.layers import BatchNormalization

REPEATS = 40
# shape, axis of the channels, dtype
CASES = [
    ((128, 32, 32, 16), -1, "float32"),
    ((128, 8, 8, 64), -1, "float32"),
    ((16, 24, 24, 256), -1, "float32"),
    ((16, 3, 3, 2048), -1, "float32"),
    ((32, 64, 192), -1, "float32"),
    ((8, 4, 12, 12, 64), -1, "float32"),
    ((64, 64), -1, "float32"),
    ((64, 512), -1, "float32"),
    ((1024, 1024), -1, "float32"),
    ((16, 24, 24, 256), -1, "bfloat16"),
    ((16, 24, 24, 256), -1, "float16"),
    ((16, 256, 24, 24), 1, "float32"),
    ((16, 256, 24, 24), 1, "bfloat16"),
]


class Fused(BatchNormalization):
    """Batch norm that uses the fused kernel in every possible case."""

    def _has_kernel(self, inputs: tf.Tensor) -> bool:
        return True


def both_passes(layer: keras.Layer) -> Callable:
    """Return a compiled function of the forward and backward pass."""

    @tf.function
    def run(x: tf.Tensor) -> list:
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(total, [x, *(weight.value for weight in layer.trainable_weights)])

    return run


def main() -> None:
    """Print a line for each case."""
    for shape, axis, dtype in CASES:
        x = tf.cast(tf.random.normal(shape), dtype)
        policy = "float32" if dtype == "float32" else f"mixed_{dtype}"
        layers = [cls(axis=axis, dtype=policy) for cls in (keras.layers.BatchNormalization, Fused)]
        for layer in layers:
            layer.build(shape)
        stock, fused = map(both_passes, layers)
        times = [(timed(stock, x), timed(fused, x)) for _ in range(REPEATS + 1)][1:]
        usual, ours = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
        ratio = statistics.median(b / a for a, b in times)
        print(f"{shape!s:20} axis {axis:2} {dtype:9} {usual:6.2f} ms, fused {ours:6.2f} ms ({ratio:.2f})", flush=True)


def timed(function: Callable, x: tf.Tensor) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    function(x)[0].numpy()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
