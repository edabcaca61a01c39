"""Training on several devices. TensorFlow cannot change its devices after its start, so the tests use new processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bnzoo.training.devices import devices_for


@pytest.mark.parametrize(
    ("count", "batch_size", "validation", "expected"),
    [(0, 128, 100, 0), (1, 128, 100, 1), (2, 128, 100, 2), (3, 128, 100, 2), (3, 129, 100, 3), (8, 64, 5, 4)],
)
def test_batches_are_divided_into_equal_parts(count, batch_size, validation, expected):
    devices = [f"GPU:{number}" for number in range(count)]
    assert devices_for(devices, batch_size, validation) == devices[:expected]


START = """
import sys
import keras, numpy as np, tensorflow as tf
count = int(sys.argv[2])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
sys.path.insert(0, sys.argv[1])
import bnzoo
from bnzoo.training import checkpoints, devices
from test_train import OPTIONS, few_digits, small_model
names = [f"CPU:{number}" for number in range(count)]

def trained_weights(training):
    return [keras.ops.convert_to_numpy(variable) for variable in training.model.trainable_variables]

def check(training, expected):
    for a, b in zip(trained_weights(training), trained_weights(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(training.history["val_loss"], expected.history["val_loss"], rtol=1e-4)
"""


def run(script, *arguments):
    """Start a process that runs a script after `START`."""
    command = [sys.executable, "-c", START + script, str(Path(__file__).parent), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finished(process):
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


AS_ONE = """
import dataclasses
few = few_digits()
few = dataclasses.replace(few, validation=bnzoo.data.Split(few.validation.x[:31], few.validation.y[:31]))
options = {**OPTIONS, "batch_size": 15}
expected = bnzoo.train(small_model(dropout=0.0), few, **options)
assert expected.devices == 1
devices.gpus = lambda: names
model = small_model(dropout=0.0)
training = bnzoo.train(model, few, directory=sys.argv[3], **options)
assert training.model is model and training.devices == 3
assert " in float32 on 3 devices, " in str(training)
check(training, expected)
assert type(model.get_layer("norm")) is bnzoo.layers.BatchNormalization
np.testing.assert_allclose(training.choice["averaged"], expected.choice["averaged"], rtol=1e-4)
assert training.artefact.measures == training.measures and training.artefact.difference < 1e-5
model.fit(few.train.x[:32].astype("float32"), few.train.y[:32], verbose=0)
"""


@pytest.mark.slow
def test_three_devices_train_as_one(tmp_path):
    """The last validation batch leaves a device without an example."""
    finished(run(AS_ONE, 3, tmp_path / "run"))


IN_A_SCOPE = """
def model_with(norm):
    keras.utils.set_random_seed(0)
    return bnzoo.MLP(depth=2, width=8, norm=norm, input_shape=(8, 8, 1), classes=10)

few = few_digits()
options = {**OPTIONS, "average": False}
strategy = tf.distribute.MirroredStrategy(names)
devices.gpus = lambda: names[:1]  # the strategy of the model counts
for norm, alone in (("batch", {"name": "ghost_batch", "batch": 8}), (None, None)):
    expected = bnzoo.train(model_with(alone), few, **options)
    with strategy.scope():
        model = model_with(norm)
    training = bnzoo.train(model, few, directory=f"{sys.argv[3]}/{norm}", **options)
    assert training.model is model and training.devices == 2
    for a, b in zip(trained_weights(training), trained_weights(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    plain = model_with(norm)
    plain.set_weights(model.get_weights())
    if norm is not None:
        bnzoo.tools.recalibrate_batch_norm(plain, few.train.x)
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    model.fit(few.train.x[:32].astype("float32"), few.train.y[:32], verbose=0)
try:
    bnzoo.train(model, few, **{**options, "batch_size": 15})
except ValueError as error:
    assert "`batch_size` must be a multiple of 2" in str(error)
else:
    raise AssertionError
"""


@pytest.mark.slow
def test_in_the_scope_of_a_strategy_batch_norm_is_ghost_batch_norm(tmp_path):
    """Without batch norm, two devices train as one."""
    finished(run(IN_A_SCOPE, 2, tmp_path))


KILLED = """
checkpoints.INTERVAL = 0.0
devices.gpus = lambda: names

class Steps(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        print("step", flush=True)

options = {**OPTIONS, "precision": "float16"}
model = small_model(int(sys.argv[4]))
training = bnzoo.train(model, few_digits(), directory=sys.argv[3], callbacks=[Steps()], **options)
assert training.devices == 2
np.savez(sys.argv[5], *[np.array(variable) for variable in training.model.variables])
"""


@pytest.mark.slow
def test_killed_on_two_devices_the_weights_are_the_same(tmp_path):
    for seed, steps in ((0, 2), (9, 20)):
        process = run(KILLED, 2, tmp_path / "killed", seed, os.devnull)
        for _ in range(steps):
            assert process.stdout.readline(), process.stderr.read()
        process.kill()
        process.communicate()
    steps = finished(run(KILLED, 2, tmp_path / "killed", 9, tmp_path / "killed.npz")).count("step")
    assert 0 < steps <= 28 - 20
    finished(run(KILLED, 2, tmp_path / "whole", 0, tmp_path / "whole.npz"))
    with np.load(tmp_path / "killed.npz") as killed, np.load(tmp_path / "whole.npz") as whole:
        for name in whole.files:
            np.testing.assert_array_equal(killed[name], whole[name])
