"""Calibration with data on another scale than the inputs, which would spoil int8."""

import json

import keras
import numpy as np
import pytest
from with_extras import needs, with_extras

import bnzoo
from bnzoo import export
from bnzoo.export.calibration import check_scale

L = keras.layers


@pytest.fixture(scope="module")
def levels(digits):
    """Return images with levels from 0 to 255."""
    return digits.train.x[:400] * np.float32(255 / 16)


def recalibrated(model, x):
    bnzoo.tools.recalibrate_batch_norm(model, x)
    return model


def of_images(x):
    """The network is one layer of the model, after a layer that scales."""
    inputs = keras.Input((8, 8, 1), name="x")
    network = bnzoo.ResNetCifar(8, filters=4, input_shape=(8, 8, 1), classes=3)
    return recalibrated(keras.Model(inputs, network(L.Rescaling(1 / 128, -1)(inputs))), x)


def of_rows(x, layer=None):
    inputs = keras.Input(x.shape[1:], name="x")
    layer = layer or L.BatchNormalization(momentum=0.9)
    return keras.Model(inputs, L.Dense(2)(layer(inputs)))


SCALES = {"train": lambda x: x, "half": lambda x: x[::2], "unit": lambda x: x / 255, "twice": lambda x: 2 * x + 100}


@pytest.mark.parametrize("scale", SCALES)
def test_images_on_another_scale_are_refused(levels, scale):
    check, x = SCALES[scale], levels
    model = of_images(x)
    if scale in ("train", "half"):
        check_scale(model, {"x": check(x)})
        return
    message = r"`calibration` must have the scale .* the inputs of 'conv1_norm' is .* times that of its statistics"
    with pytest.raises(ValueError, match=message):
        check_scale(model, {"x": check(x)})


@pytest.mark.parametrize("count", [1, 2, 8, 400])
@pytest.mark.parametrize("norm", ["normalization", "batch", "few steps"])
def test_rows_of_the_training_data_pass_however_few(norm, count):
    random = np.random.default_rng(0)
    x = (random.normal(size=(400, 6)) * random.uniform(0.05, 2, 6) + random.normal(size=6)).astype("float32")
    if norm == "normalization":
        layer = L.Normalization()
        layer.adapt(x)
        model = of_rows(x, layer)
    else:
        model = recalibrated(of_rows(x), x)
        if norm == "few steps":  # half of the initial statistics are left
            layer = model.layers[1]
            layer.moving_mean.assign(layer.moving_mean * 0.5)
            layer.moving_variance.assign(layer.moving_variance * 0.5 + 0.5)
    check_scale(model, {"x": x[:count]})
    if count > 2:
        with pytest.raises(ValueError, match="`calibration` must have the scale"):
            check_scale(model, {"x": x[:count] * 16})


@pytest.mark.parametrize("layer", [L.BatchNormalization, L.LayerNormalization])
def test_a_model_that_tells_no_scale_takes_any(layer):
    x = np.random.default_rng(0).normal(size=(20, 6)).astype("float32")
    check_scale(of_rows(x, layer()), {"x": 1000 * x})


@needs("onnx")
@pytest.mark.parametrize("spoil", [lambda x: x / 255, lambda x: np.where(x == x.max(), np.nan, x)])
def test_nothing_is_written_with_such_data(tmp_path, levels, spoil):
    with pytest.raises(ValueError, match=r"`calibration` must (have the scale|hold finite numbers)"):
        export.onnx(of_images(levels), tmp_path / "1", quantize="int8", calibration=spoil(levels))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "norm", "left"), with_extras(("litert", "batch", ""), ("litert", "group", "7 NEG, 7 SQUARE"))
)
def test_operations_that_stay_in_float32_are_named(tmp_path, levels, format, norm, left):
    model = bnzoo.ResNetCifar(8, norm=norm, input_shape=(8, 8, 1))
    report = getattr(export, format)(model, tmp_path / "1", quantize="int8", calibration=levels[:64] / 255)
    assert ("has no int8 for these operations and computes them in float32: " in str(report)) == bool(left)
    assert left in str(report)
    assert json.loads((report.path / "MANIFEST.json").read_text())["quantization"] == "int8"
