"""Guarantees of the other formats, the same as of the SavedModel. `test_converters.py` tests the converters."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from with_extras import needs, with_extras

import bnzoo
from bnzoo import export
from bnzoo.export import prepare
from bnzoo.export.formats import FORMATS

CONVERTED = tuple(name for name, format in FORMATS.items() if format.convert is not None)
FILES = {"onnx": "model.onnx", "litert": "model.tflite", "openvino": "model.xml"}
LABELS = ["a", "b", "c"]


def test_each_record_is_complete_and_public():
    assert set(FORMATS) <= set(export.__all__)
    for name, format in FORMATS.items():
        assert getattr(export, name) is format.export
        assert format.export.__name__ == name
        assert (format.convert is None) == (name == "saved_model"), "all others are converted from a SavedModel"
        assert bool(format.modules) == bool(format.packages) == (name != "saved_model")


def test_type_checkers_know_each_format():
    """Their names follow from the records, which only a running program reads."""
    lines = Path(export.__file__).read_text()
    for name in FORMATS:
        assert f"from bnzoo.export.formats.{name} import {name} as {name}\n" in lines


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'torch'"):
        export.torch  # noqa: B018


@pytest.fixture
def network(random_statistics):
    return random_statistics(bnzoo.ResNetCifar(8, input_shape=(8, 8, 1), classes=3, classifier_activation=None))


@pytest.mark.slow
@pytest.mark.own_process
@pytest.mark.parametrize("format", with_extras(*CONVERTED))
def test_the_promises(tmp_path, network, format):
    x = np.random.default_rng(0).normal(size=(20, 8, 8, 1)).astype("float32")
    report = getattr(export, format)(network, tmp_path / "model", labels=LABELS, sample=x)
    assert report.path == tmp_path / "model" / "1"
    assert len(report.fold.folded) == 7
    assert 0 < report.difference <= report.tolerance == 1e-4
    expected = network.predict(x, verbose=0)
    np.testing.assert_allclose(report.outputs["logits"], expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(report.outputs["probabilities"].sum(-1), 1, rtol=1e-5)
    assert {path.name for path in report.path.iterdir()} >= {FILES[format], "MANIFEST.json", "assets", "assets.extra"}
    assert (report.path / "assets" / "labels.txt").read_text() == "a\nb\nc\n"
    assert report.size == sum(p.stat().st_size for p in report.path.rglob("*") if p.is_file() and p.suffix != ".json")
    manifest = json.loads((report.path / "MANIFEST.json").read_text())
    assert set(FORMATS[format].packages) < set(manifest["versions"])
    assert set(manifest["signatures"]) == {"serve"}
    [found] = export.verify(tmp_path)
    assert not found.problems
    (report.path / FILES[format]).write_bytes(b"x" + (report.path / FILES[format]).read_bytes()[1:])
    [found] = export.verify(tmp_path)
    assert FILES[format] in found.problems[0]


@pytest.mark.parametrize("format", with_extras("saved_model", *CONVERTED))
def test_what_differs_does_not_appear(tmp_path, network, format, monkeypatch):
    def spoiled(model):
        folded, report = bnzoo.tools.fold_batch_norm(model)
        kernel = folded.get_layer("logits").kernel
        kernel.assign(kernel * 1.01)
        return folded, report

    monkeypatch.setattr(prepare, "fold_batch_norm", spoiled)
    with pytest.raises(RuntimeError, match="The artefact differs from the model"):
        getattr(export, format)(network, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("format", with_extras(*CONVERTED))
def test_sixteen_bits_and_constants_are_converted(tmp_path, few_digits, format):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        x = keras.Input(few_digits.input_shape, name="image")
        scaled = keras.layers.Normalization(mean=few_digits.scale[0], variance=few_digits.scale[1])(x)
        model = bnzoo.ResNetCifar(8, input_tensor=scaled, classes=10)
    finally:
        keras.config.set_dtype_policy("float32")
    report = getattr(export, format)(model, tmp_path / "1", sample=few_digits.test.x)
    assert report.outputs["probabilities"].dtype == np.float32


@pytest.fixture(scope="module")
def trained(digits):
    """A trained network for the digits. Tests must not change it."""
    keras.utils.set_random_seed(0)
    model = bnzoo.ResNetCifar(
        8, input_shape=digits.input_shape, classes=10, placement="post", classifier_activation=None
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss)
    model.fit(digits.train.x / 16, digits.train.y, batch_size=64, epochs=6, verbose=0)
    first = model.get_layer("conv1_conv")  # the scaling of the levels is folded into the first convolution
    first.kernel.assign(first.kernel / 16)
    bnzoo.tools.recalibrate_batch_norm(model, digits.train.x)
    return model


@pytest.mark.slow
@pytest.mark.parametrize("format", with_extras("onnx", "litert"))
def test_int8_tells_the_accuracy_before_and_after(tmp_path, format, digits, trained):
    report = getattr(export, format)(trained, tmp_path / "int8", quantize="int8", calibration=digits)
    before = (trained.predict(digits.test.x, verbose=0).argmax(-1) == digits.test.y).mean()
    after = (report.outputs["logits"].argmax(-1) == digits.test.y).mean()
    assert report.accuracy == export.Accuracy(before, after, len(digits.test.y))
    assert before > 0.9
    assert after > before - 0.02
    assert 1e-4 < report.difference < report.tolerance == 0.25
    assert f"accuracy {before:.2%} before, {after:.2%} after, on {len(digits.test.y)} examples" in str(report)
    float32 = getattr(export, format)(trained, tmp_path / "float32")
    weights = tmp_path / "int8/1" / FILES[format], float32.path / FILES[format]
    assert weights[0].stat().st_size < 0.45 * weights[1].stat().st_size, "small: scales weigh more than in a large one"
    assert not export.verify(report.path)[0].problems


@pytest.mark.slow
@pytest.mark.parametrize("format", with_extras("onnx", "litert"))
def test_calibrated_on_a_pair_or_on_examples_alone(tmp_path, few_digits, format):
    model = bnzoo.ResNetCifar(8, input_shape=few_digits.input_shape, classes=10)
    make = getattr(export, format)
    with_classes = make(model, tmp_path / "a", quantize="int8", calibration=tuple(few_digits.train))
    assert with_classes.accuracy.examples == len(few_digits.train.y) == len(with_classes.outputs["probabilities"])
    without = make(model, tmp_path / "b", quantize="int8", calibration=few_digits.train.x)
    assert without.accuracy is None


@needs("onnx")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantize": "int4", "calibration": np.ones((2, 8, 8, 1))}, "Unknown `quantize`: 'int4'"),
        ({"quantize": "int8"}, "`quantize` needs `calibration`"),
        ({"calibration": np.ones((2, 8, 8, 1))}, "Unknown `quantize`: None"),
        ({"quantize": "int8", "calibration": np.ones((2, 9, 8, 1))}, r"`calibration` must hold .*\(2, 9, 8, 1\)"),
        (
            {"quantize": "int8", "calibration": (np.ones((2, 8, 8, 1)),)},
            "must be examples, a pair of examples and their classes",
        ),
        (
            {"quantize": "int8", "calibration": (np.ones((2, 8, 8, 1)), [0, 1]), "sample": np.ones((2, 8, 8, 1))},
            "`sample` cannot be combined with a `calibration` that has classes",
        ),
    ],
)
def test_what_cannot_be_quantized_is_told(tmp_path, options, message):
    inputs = keras.Input((8, 8, 1), name="image")
    model = keras.Model(inputs, keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(inputs)))
    with pytest.raises(ValueError, match=message):
        export.onnx(model, tmp_path / "1", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", with_extras(*CONVERTED))
def test_strings_are_refused_by_other_formats(tmp_path, format):
    text = keras.Input((1,), dtype="string", name="text")
    model = keras.Model(text, keras.layers.StringLookup(vocabulary=["a"], output_mode="multi_hot")(text))
    with pytest.raises(ValueError, match=rf"`model` has inputs of strings: text. {format} has no opera"):
        getattr(export, format)(model, tmp_path / "1", sample=[["a"], ["b"]])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", CONVERTED)
def test_a_missing_extra_is_told_before_the_work(tmp_path, monkeypatch, format):
    """The message does not depend on the installed packages."""
    monkeypatch.setitem(sys.modules, FORMATS[format].modules[0], None)
    with pytest.raises(ImportError, match=rf"pip install 'bnzoo\[{format}\]'"):
        getattr(export, format)(None, tmp_path / "model" / "1")
    assert list(tmp_path.iterdir()) == []


def shallow(name):
    """Return the arguments of a network of the zoo with the fewest blocks that include every kind of block."""
    depths = {"vit": 1, "wrn": 10, "resnet164": 11, "resnet1001": 11, "densenet_bc": 10, "densenet40": 7}
    depth = next((depth for word, depth in depths.items() if name.startswith(word)), 8)
    if name == "mlp":
        return {"input_shape": (5,), "classes": 3}
    least = {"depth": depth} if "cifar" in name or any(map(name.startswith, depths)) else {"blocks": (1, 1, 1, 1)}
    return {"input_shape": (32, 32, 3), "classes": 3, **least}


@pytest.mark.nightly
@pytest.mark.parametrize("format", with_extras("saved_model", *CONVERTED))
@pytest.mark.parametrize("name", bnzoo.list_models())
def test_every_network_of_the_zoo_in_every_format(tmp_path, format, name, random_statistics):
    model = random_statistics(bnzoo.create_model(name, classifier_activation=None, **shallow(name)))
    report = getattr(export, format)(model, tmp_path / "1")
    assert report.difference <= report.tolerance
    [found] = export.verify(report.path)
    assert (found.problems, found.notes) == ([], [])


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("format", "name"),
    with_extras(("onnx", "resnet50"), ("onnx", "vit_ti16"), ("litert", "densenet121"), ("openvino", "resnet50")),
)
def test_large_networks(tmp_path, format, name, random_statistics):
    size = {"input_shape": (64, 64, 3), "classes": 10, "classifier_activation": None}
    model = random_statistics(bnzoo.create_model(name, **size))
    report = getattr(export, format)(model, tmp_path / "1")
    assert report.difference <= report.tolerance
