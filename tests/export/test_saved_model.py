import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import bnzoo
from bnzoo import export

L = keras.layers


@pytest.fixture
def network(random_statistics):
    model = bnzoo.ResNetCifar(8, input_shape=(8, 8, 1), classes=3, classifier_activation=None, name="net")
    return random_statistics(model)


def test_an_artefact_is_what_a_server_needs(tmp_path, network):
    path = tmp_path / "digits" / "1"
    x = np.random.default_rng(0).normal(size=(5, 8, 8, 1)).astype("float32")
    report = export.saved_model(network, path, labels=["a", "b", "c"], sample=x)
    assert report.path == path
    assert len(report.fold.folded) == 7
    assert report.difference <= report.tolerance
    assert (path / "assets" / "labels.txt").read_text() == "a\nb\nc\n"
    assert [p.name for p in path.parent.iterdir()] == ["1"], "no draft is left"

    loaded = tf.saved_model.load(path)
    assert set(loaded.signatures) == {"serve", "serving_default"}
    signature = loaded.signatures["serve"]
    assert {k: tuple(v.shape) for k, v in signature.structured_input_signature[1].items()} == {"image": (None, 8, 8, 1)}
    outputs = signature(image=tf.constant(x))
    expected = network.predict(x, verbose=0)
    np.testing.assert_allclose(outputs["logits"], expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(outputs["probabilities"], keras.ops.softmax(expected), atol=1e-3)
    np.testing.assert_array_equal(report.outputs["logits"].shape, expected.shape)


def test_each_weight_is_stored_once_and_no_batch_norm_is_left(tmp_path):
    model = bnzoo.ResNet18(input_shape=(32, 32, 3), classes=10)
    export.saved_model(model, tmp_path / "1")
    stored = sum(file.stat().st_size for file in (tmp_path / "1" / "variables").iterdir())
    folded, _ = bnzoo.tools.fold_batch_norm(model)
    weights = 4 * folded.count_params()
    assert weights <= stored < 1.02 * weights + 20_000
    graph = tf.saved_model.load(tmp_path / "1").signatures["serve"].graph.as_graph_def()
    kinds = [node.op for function in graph.library.function for node in function.node_def]
    assert "Rsqrt" not in kinds
    assert kinds.count("Conv2D") == 20


def test_fold_can_be_left_out(tmp_path, network):
    report = export.saved_model(network, tmp_path / "1", fold=False)
    assert not report.fold.folded
    assert report.difference < 1e-6


@pytest.mark.parametrize(
    ("activation", "outputs"), [("softmax", {"probabilities"}), (None, {"logits", "probabilities"})]
)
def test_outputs_have_names(tmp_path, activation, outputs):
    model = bnzoo.MLP(input_shape=(4,), classes=2, classifier_activation=activation)
    report = export.saved_model(model, tmp_path / "1")
    assert set(report.outputs) == outputs


def test_several_inputs_and_outputs_keep_their_names(tmp_path):
    a, b = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    x = L.Concatenate()([L.BatchNormalization()(L.Dense(4)(a)), b])
    model = keras.Model([a, b], [L.Dense(1, name="price")(x), L.Dense(2, "softmax", name="kind")(x)])
    report = export.saved_model(model, tmp_path / "1")
    assert set(report.outputs) == {"price", "kind"}
    np.testing.assert_allclose(report.outputs["kind"].sum(-1), 1, rtol=1e-5)


def test_the_artefact_is_refused_where_it_differs(tmp_path, network, monkeypatch):
    def spoiled(model):
        folded, report = bnzoo.tools.fold_batch_norm(model)
        kernel = folded.get_layer("logits").kernel
        kernel.assign(kernel * 1.01)
        return folded, report

    monkeypatch.setattr(sys.modules["bnzoo.export.prepare"], "fold_batch_norm", spoiled)
    with pytest.raises(RuntimeError, match="differs from the one in memory"):
        export.saved_model(network, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


def test_nan_outputs_are_refused(tmp_path, network):
    network.get_layer("logits").bias.assign([np.nan, 0, 0])
    with pytest.raises(RuntimeError, match="differs"):
        export.saved_model(network, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


def test_the_loader_cannot_import_keras_or_bnzoo(tmp_path):
    """Otherwise its finding that the artefact needs neither would be worth nothing."""
    from bnzoo.export.runtimes import __file__ as loader

    script = f"""
import runpy
runpy.run_path({loader!r}, run_name="loader")
for name in ("keras", "bnzoo"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        print("no", name)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert done.stdout.split("\n")[:2] == ["no keras", "no bnzoo"]
    broken = tmp_path / "1"
    broken.mkdir()
    model = bnzoo.MLP(input_shape=(4,), classes=2)
    with pytest.raises(RuntimeError, match="does not work in a process with TensorFlow only"):
        export.compare(model, broken, np.ones((2, 4)))


def test_nothing_is_overwritten(tmp_path, network):
    (tmp_path / "1").mkdir()
    with pytest.raises(FileExistsError, match="is not overwritten"):
        export.saved_model(network, tmp_path / "1")


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: keras.Sequential([L.Dense(2)]), {}, "must be a built"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"labels": ["a"]}, "1 labels, 1 outputs, 2 classes"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"labels": ["a\nb", "c"]}, "without line breaks"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"sample": {"x": 1}}, "an array for each input: features"),
        (lambda: bnzoo.ResNet18(input_shape=(None, None, 3)), {}, "`sample` is needed"),
        (lambda: keras.Sequential([keras.Input((2,)), L.Dense(2, dtype="mixed_bfloat16")]), {}, "compute in float32"),
    ],
)
def test_what_cannot_be_exported_is_told(tmp_path, make, options, message):
    with pytest.raises(ValueError, match=message):
        export.saved_model(make(), tmp_path / "1", **options)
    assert list(tmp_path.iterdir()) == []
