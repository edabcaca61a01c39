import importlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiers import tiered
from with_extras import needs, with_extras

import bnzoo
from bnzoo.export import runtimes

L = keras.layers

FILE = {"onnx": "model.onnx", "litert": "model.tflite", "openvino": "model.xml"}
BATCHES = (1, 3, 8)


def converter(format):
    return importlib.import_module(f"bnzoo.export.formats.{format}")


def save(folder, function, weights=(), **inputs):
    """Write a SavedModel with the signature `serve`, a function that takes and returns tensors by name."""
    module = tf.Module()
    module.weights = [variable.value for variable in weights]
    specs = {name: tf.TensorSpec(shape, dtype, name=name) for name, (shape, dtype) in inputs.items()}
    module.serve = tf.function(function, autograph=False).get_concrete_function(**specs)
    tf.saved_model.save(module, str(folder), signatures={"serve": module.serve})
    return folder


def save_model(folder, model):
    def serve(**inputs):
        tensors = [inputs[tensor.name] for tensor in model.inputs]
        outputs = model(tensors if len(tensors) > 1 else tensors[0], training=False)
        return dict(zip(model.output_names, keras.tree.flatten(outputs), strict=True))

    return save(folder, serve, model.variables, **{t.name: ((None, *t.shape[1:]), t.dtype) for t in model.inputs})


def draw(model, size):
    random = np.random.default_rng(size)
    return {
        t.name: random.integers(0, 5, (size, *t.shape[1:])).astype("int32")
        if t.dtype == "int32"
        else random.normal(size=(size, *t.shape[1:])).astype("float32")
        for t in model.inputs
    }


def predict(model, inputs):
    tensors = [inputs[tensor.name] for tensor in model.inputs]
    outputs = model(tensors if len(tensors) > 1 else tensors[0], training=False)
    return dict(zip(model.output_names, map(np.asarray, keras.tree.flatten(outputs)), strict=True))


def several():
    """Inputs and outputs have equal shapes, and are not in alphabetical order."""
    right, left = keras.Input((3,), name="right"), keras.Input((3,), name="left")
    index = keras.Input((1,), dtype="int32", name="index")
    x = L.Concatenate()([L.Subtract()([right, left]), left, L.Flatten()(L.Embedding(5, 2)(index))])
    return keras.Model([right, left, index], [L.Dense(2, name="price")(x), L.Dense(2, "softmax", name="kind")(x)])


def norms():
    """The norms of this model cannot be folded."""
    x = inputs = keras.Input((6, 6, 4), name="image")
    for norm in (L.GroupNormalization(2), L.LayerNormalization(), L.RMSNormalization(), L.BatchNormalization()):
        x = L.ReLU()(norm(L.Conv2D(8, 3, padding="same")(x)))
    return keras.Model(inputs, x)


SMALL = {"input_shape": (8, 8, 1), "classes": 3, "classifier_activation": None}
CIFAR = {"stem": "cifar", **SMALL}
MODELS = {
    "resnet": lambda: bnzoo.ResNetCifar(8, **SMALL),
    "mlp": lambda: bnzoo.MLP(input_shape=(4,), classes=2),
    "vit": lambda: bnzoo.ViT(patch_size=4, depth=1, width=16, heads=2, **SMALL),
    "grouped": lambda: bnzoo.ResNet(
        (1, 1), "bottleneck", groups=4, width_per_group=2, filters=8, se_ratio=0.25, **CIFAR
    ),
    "mlp_residual": lambda: bnzoo.MLP(widths=(6, 4, 6), residual=True, input_shape=(5,)),
    "densenet": lambda: bnzoo.DenseNet((2, 1), 4, stem="cifar", **SMALL),
    "several": several,
    "norms": norms,
}


@needs(*FILE)
@pytest.mark.parametrize("name", tiered(MODELS, plain=("mlp", "several"), rest="slow"))
def test_each_runtime_gives_what_keras_gives(tmp_path, random_statistics, name):
    model = random_statistics(MODELS[name]())
    folded, _ = bnzoo.tools.fold_batch_norm(model)
    saved = save_model(tmp_path / "saved", folded)
    expected = {size: predict(model, draw(model, size)) for size in BATCHES}
    for format in FILE:
        folder = tmp_path / format
        folder.mkdir()
        converter(format).convert(saved, folder)
        artefact = runtimes.open_artefact(format, folder)
        for size in BATCHES:
            outputs = artefact(draw(model, size))
            assert set(outputs) == set(model.output_names), format
            for output, values in expected[size].items():
                scale = np.abs(values).max()
                np.testing.assert_allclose(outputs[output], values, atol=1e-5 * scale, rtol=0, err_msg=format)


@pytest.mark.parametrize("format", with_extras(*FILE))
def test_grouped_convolutions(tmp_path, format):
    """Keras compiles them with XLA, which ONNX does not support."""
    inputs = keras.Input((6, 6, 8), name="image")
    x = L.Conv2D(12, 3, groups=4)(inputs)
    rate = 1 if format == "openvino" else 2  # OpenVINO does not support dilated grouped convolutions
    model = keras.Model(inputs, L.Conv2D(6, 2, groups=2, dilation_rate=rate, name="y")(x))
    saved = save_model(tmp_path / "saved", model)
    content = (saved / "saved_model.pb").read_bytes()
    converter(format).convert(saved, tmp_path)
    given = draw(model, 3)
    outputs = runtimes.open_artefact(format, tmp_path)(given)["y"]
    np.testing.assert_allclose(outputs, predict(model, given)["y"], atol=1e-5)
    assert (saved / "saved_model.pb").read_bytes() == content, "the SavedModel is as it was"


@needs("onnx")
@pytest.mark.parametrize("dimensions", [1, 3])
def test_grouped_convolutions_of_other_dimensions(tmp_path, dimensions):
    inputs = keras.Input((5,) * dimensions + (4,), name="x")
    model = keras.Model(inputs, [L.Conv1D, L.Conv2D, L.Conv3D][dimensions - 1](6, 2, groups=2, name="y")(inputs))
    converter("onnx").convert(save_model(tmp_path / "saved", model), tmp_path)
    given = draw(model, 3)
    np.testing.assert_allclose(
        runtimes.open_artefact("onnx", tmp_path)(given)["y"], predict(model, given)["y"], atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.parametrize("format", with_extras("onnx", "litert"))
def test_int8_of_grouped_convolutions(tmp_path, format):
    model = MODELS["grouped"]()
    folded, _ = bnzoo.tools.fold_batch_norm(model)
    inputs = draw(model, 40)
    converter(format).quantize(save_model(tmp_path / "saved", folded), tmp_path, inputs)
    logits, expected = runtimes.open_artefact(format, tmp_path)(inputs)["logits"], predict(model, inputs)["logits"]
    assert np.linalg.norm(logits - expected) < 0.1 * np.linalg.norm(expected)


@pytest.mark.parametrize("format", with_extras(*FILE))
def test_the_exact_gelu_is_exact(tmp_path, format):
    saved = save(tmp_path / "saved", lambda x: {"y": keras.ops.gelu(x, approximate=False)}, x=((None, 5), "float32"))
    converter(format).convert(saved, tmp_path)
    x = np.array([[-3, -0.5, 0, 0.5, 3]], "float32")
    # x * Phi(x), Phi from tables of the normal distribution
    exact = np.array([[-0.004049694, -0.154268770, 0, 0.345731230, 2.995950306]])
    np.testing.assert_allclose(runtimes.open_artefact(format, tmp_path)({"x": x})["y"], exact, atol=1e-6)


@pytest.mark.parametrize("format", with_extras(*FILE))
def test_one_tensor_may_have_two_names(tmp_path, format):
    def serve(x):
        y = 2 * x
        return {"first": y, "second": y}

    converter(format).convert(save(tmp_path / "saved", serve, x=((None, 2), "float32")), tmp_path)
    outputs = runtimes.open_artefact(format, tmp_path)({"x": np.ones((3, 2), "float32")})
    assert {name: values.tolist() for name, values in outputs.items()} == dict.fromkeys(
        ["first", "second"], [[2, 2]] * 3
    )


@pytest.mark.parametrize("format", with_extras(*FILE))
def test_constants_of_any_size_are_kept(tmp_path, format):
    """TensorFlow stores small constants in the graph, and passes large ones as hidden inputs."""
    mean = np.random.default_rng(0).normal(size=300).astype("float32")
    inputs = keras.Input((300,), name="x")
    model = keras.Model(inputs, L.Normalization(mean=mean, variance=np.full(300, 4.0))(inputs))
    converter(format).convert(save_model(tmp_path / "saved", model), tmp_path)
    x = np.random.default_rng(1).normal(size=(2, 300)).astype("float32")
    [y] = runtimes.open_artefact(format, tmp_path)({"x": x}).values()
    np.testing.assert_allclose(y, (x - mean) / 2, atol=1e-6)


@pytest.mark.parametrize("format", with_extras(*FILE))
def test_unknown_operations_are_named(tmp_path, format):
    saved = save(tmp_path / "saved", lambda x: {"y": tf.math.digamma(x)}, x=((None, 2), "float32"))
    with pytest.raises((ValueError, RuntimeError), match=r"^[^\n]*Digamma[^\n]*$"):
        converter(format).convert(saved, tmp_path)
    assert not (tmp_path / FILE[format]).exists()


@pytest.mark.parametrize(
    ("format", "package"),
    with_extras(
        ("onnx", "tf2onnx"),
        ("onnx", "onnxruntime"),
        ("litert", "ai_edge_litert.interpreter"),
        ("openvino", "openvino"),
    ),
)
def test_a_missing_package_is_told(tmp_path, monkeypatch, format, package):
    module = converter(format)
    monkeypatch.setitem(sys.modules, package, None)
    message = rf"`bnzoo.export.{format}` needs the extra `{format}` \(.*{package}.*\): pip install 'bnzoo\[{format}\]'"
    with pytest.raises(ImportError, match=message):
        module.convert(tmp_path, tmp_path)


def classifier():
    """Build a classifier of three noisy patterns without training: its last layer is fitted to random features."""
    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((8, 8, 1), name="image")
    for _ in range(3):
        x = L.Conv2D(96, 3, activation="relu", kernel_initializer="he_normal")(x)
    features = L.Flatten()(x)
    model = keras.Model(inputs, L.Dense(3, name="logits")(features))
    x, classes = patterns(400, seed=1)
    known = np.asarray(keras.Model(inputs, features)(x))
    kernel = np.linalg.solve(known.T @ known + 10 * np.eye(known.shape[1]), known.T @ np.eye(3)[classes])
    model.layers[-1].set_weights([kernel, np.zeros(3)])
    return model


def patterns(size, seed):
    random = np.random.default_rng(seed)
    classes = random.integers(0, 3, size)
    shapes = np.random.default_rng(0).normal(size=(3, 8, 8, 1))
    return (shapes[classes] + random.normal(size=(size, 8, 8, 1))).astype("float32"), classes


@pytest.mark.slow
@pytest.mark.parametrize("format", with_extras("onnx", "litert"))
def test_int8_is_a_quarter_and_nearly_as_accurate(tmp_path, format):
    model = classifier()
    saved = save_model(tmp_path / "saved", model)
    # not a multiple of the batch
    converter(format).quantize(saved, tmp_path, {"image": patterns(100, seed=2)[0]})
    assert (tmp_path / FILE[format]).stat().st_size < 0.3 * 4 * model.count_params()
    artefact = runtimes.open_artefact(format, tmp_path)
    x, classes = patterns(300, seed=4)
    logits, expected = artefact({"image": x})["logits"], model.predict(x, verbose=0)
    assert logits.dtype == np.float32
    assert (expected.argmax(-1) == classes).mean() > 0.9
    assert (logits.argmax(-1) == expected.argmax(-1)).mean() > 0.97
    distance = np.linalg.norm(logits - expected) / np.linalg.norm(expected)
    assert 1e-4 < distance < 0.05, "quantised, and well"
    np.testing.assert_allclose(artefact({"image": x[:1]})["logits"], logits[:1], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("format", with_extras("onnx", "litert"))
def test_int8_of_the_stem_with_pooling_and_of_a_dead_channel(tmp_path, format):
    model = bnzoo.ResNet((1,), input_shape=(16, 16, 3), classes=3, classifier_activation=None)
    model.get_layer("conv1_norm").gamma.assign([0.0] + [1.0] * 63)
    folded, _ = bnzoo.tools.fold_batch_norm(model)
    inputs = draw(model, 40)
    converter(format).quantize(save_model(tmp_path / "saved", folded), tmp_path, inputs)
    logits, expected = runtimes.open_artefact(format, tmp_path)(inputs)["logits"], predict(model, inputs)["logits"]
    assert np.linalg.norm(logits - expected) < 0.1 * np.linalg.norm(expected)


@pytest.mark.parametrize("format", with_extras("onnx", "litert"))
def test_int8_of_several_inputs(tmp_path, format):
    model = several()
    converter(format).quantize(save_model(tmp_path / "saved", model), tmp_path, draw(model, 40))
    outputs = runtimes.open_artefact(format, tmp_path)(draw(model, 8))
    for name, values in predict(model, draw(model, 8)).items():
        np.testing.assert_allclose(outputs[name], values, atol=0.05 * np.abs(values).max())


@pytest.mark.parametrize("format", with_extras(*FILE))
def test_a_truncated_file_does_not_open(tmp_path, format):
    converter(format).convert(save_model(tmp_path / "saved", MODELS["mlp"]()), tmp_path)
    path = tmp_path / ("model.bin" if format == "openvino" else FILE[format])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(Exception, match=r"."):  # each runtime raises another error
        runtimes.open_artefact(format, tmp_path)


def test_an_unknown_format_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"Unknown `format`: 'torch'\. Known: litert, onnx, openvino, saved_model"):
        runtimes.open_artefact("torch", tmp_path)


def test_bytes_are_packed_whole():
    files = np.array([[b"ends in zeros\0\0", b""], [b"\0begins", b"x"]], object)
    given = {"image": np.arange(3.0), "files": files, "labels": np.array([b"cat", b"dog"]), "none": files[:0]}
    packed = runtimes.pack(given)
    assert {name: array.dtype.kind for name, array in packed.items() if name.startswith("files")} == {
        "files": "u",
        "files.lengths": "i",
    }
    found = runtimes.unpack(packed)
    assert list(found) == list(given)
    assert found["files"].tolist() == files.tolist()
    assert found["labels"].tolist() == [b"cat", b"dog"]
    assert found["none"].shape == (0, 2)
    np.testing.assert_array_equal(found["image"], given["image"])


def run(format, folder, arrays):
    """Return the outputs of the runtime in a separate process."""
    runtimes.save(folder / "inputs.npz", {"serve": arrays})
    command = [sys.executable, "-P", runtimes.__file__, format, folder, folder / "inputs.npz", folder / "outputs.npz"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return runtimes.load(folder / "outputs.npz")["serve"]


@pytest.mark.slow
def test_bytes_pass_through_a_process_of_its_own(tmp_path):
    def serve(files, scale):
        return {"length": scale * tf.cast(tf.strings.length(files), tf.float32), "files": files}

    save(tmp_path, serve, files=((None,), "string"), scale=((None,), "float32"))
    # more than a batch
    files = np.array([b"\0" * (index % 5) for index in range(300)], object)
    outputs = run("saved_model", tmp_path, {"files": files, "scale": np.full(300, 2, "float32")})
    assert outputs["length"].tolist() == [2 * (index % 5) for index in range(300)]
    assert outputs["files"].tolist() == files.tolist()


@pytest.mark.parametrize("format", with_extras(*FILE))
def test_a_converted_file_needs_no_tensorflow(tmp_path, format):
    model = MODELS["mlp"]()
    converter(format).convert(save_model(tmp_path / "saved", model), tmp_path)
    inputs = draw(model, 300)
    outputs = run(format, tmp_path, inputs)
    for name, values in predict(model, inputs).items():
        np.testing.assert_allclose(outputs[name], values, atol=1e-5)


def test_the_process_of_its_own_has_neither_keras_nor_bnzoo():
    """Otherwise a working artefact would prove nothing."""
    script = f"""
import runpy
block = runpy.run_path({runtimes.__file__!r})["_block"]
block(uses_tensorflow=False)
for name in ("keras", "bnzoo", "tensorflow"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        print("no", name)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:3] == ["no keras", "no bnzoo", "no tensorflow"]
