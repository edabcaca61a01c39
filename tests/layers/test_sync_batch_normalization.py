import subprocess
import sys

import backend
import pytest

from bnzoo import norms

TWO_REPLICAS = """
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from bnzoo import norms

x = (100 + np.random.default_rng(0).normal(size=(8, 3, 2))).astype("float32")
mask = np.arange(24).reshape(8, 3) % 5 != 0
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
for given in (None, mask):
    alone = norms.get("batch").layer((None, 3, 2))
    expected = alone(x, training=True, mask=None if given is None else tf.constant(given))
    with strategy.scope():
        layer = norms.get("sync_batch").layer((None, 3, 2))
        layer.build((None, 3, 2))

    @tf.function
    def step(halves, masks):
        return layer(halves, training=True, mask=masks)

    def half(array):
        return strategy.experimental_distribute_values_from_function(
            lambda context: tf.constant(np.split(array, 2)[context.replica_id_in_sync_group]))

    outputs = strategy.run(step, (half(x), None if given is None else half(given)))
    outputs = np.concatenate(strategy.experimental_local_results(outputs))
    np.testing.assert_allclose(outputs, expected, atol=1e-3)
    np.testing.assert_allclose(layer.moving_mean.numpy(), alone.moving_mean.numpy(), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance.numpy(), alone.moving_variance.numpy(), rtol=1e-4)
print("the same")
"""


@pytest.mark.slow
@backend.tensorflow_only
def test_two_replicas_normalize_as_one():
    """The test needs a new process, because TensorFlow cannot change its devices after its start."""
    done = subprocess.run([sys.executable, "-c", TWO_REPLICAS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "the same"


@pytest.mark.skipif(backend.BACKEND == "tensorflow", reason="TensorFlow has it")
def test_other_backends_are_told_what_to_use():
    with pytest.raises(ValueError, match=r"needs the TensorFlow backend.*On JAX use `batch`.*Received"):
        norms.get("sync_batch").layer((None, 3))
