import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import bnzoo
from bnzoo import export

L = keras.layers


@pytest.fixture
def network(random_statistics):
    model = bnzoo.ResNetCifar(8, input_shape=(8, 8, 1), classes=3, classifier_activation=None, name="net")
    return random_statistics(model)


@pytest.mark.slow
@pytest.mark.own_process
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


def test_the_accuracy_is_stored_with_its_interval(tmp_path, network):
    x = np.random.default_rng(0).normal(size=(20, 8, 8, 1)).astype("float32")
    truth = network.predict(x, verbose=0).argmax(-1)
    truth[0] = (truth[0] + 1) % 3
    report = export.saved_model(network, tmp_path / "1", sample=x, truth=truth)
    stored = json.loads((report.path / "MANIFEST.json").read_text())["accuracy"]
    assert (stored["before"], stored["after"], stored["examples"]) == (0.95, 0.95, 20)
    ends = stats.binomtest(19, 20).proportion_ci(method="wilson")
    assert (stored["interval"]["low"], stored["interval"]["high"]) == pytest.approx(tuple(ends))
    with pytest.raises(ValueError, match=r"`truth` must have a value for each of the 20 examples"):
        export.saved_model(network, tmp_path / "2", sample=x, truth=truth[:3])
    with pytest.raises(ValueError, match=r"pass `sample` too"):
        export.saved_model(network, tmp_path / "2", truth=truth)


@pytest.mark.slow
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
    ("activation", "classes", "outputs"),
    [
        ("softmax", 2, {"probabilities"}),
        (None, 2, {"logits", "probabilities"}),
        (None, 1, {"logits"}),  # the softmax of one number is 1
    ],
)
def test_outputs_have_names(tmp_path, activation, classes, outputs):
    model = bnzoo.MLP(input_shape=(4,), classes=classes, classifier_activation=activation)
    report = export.saved_model(model, tmp_path / "1")
    assert set(report.outputs) == outputs


@pytest.mark.parametrize(
    ("end", "output"),
    [
        (L.Softmax(), "probabilities"),
        (keras.ops.softmax, "probabilities"),
        (keras.Sequential([keras.Input((3,)), L.Dense(3, "softmax")]), "probabilities"),
        (lambda x: keras.ops.log(L.Dense(3, "softmax")(x)), "log"),
    ],
    ids=["layer", "operation", "nested", "logarithm"],
)
def test_probabilities_are_known_by_the_operation_that_makes_them(tmp_path, end, output):
    x = keras.Input((4,), name="x")
    model = keras.Model(x, end(L.Dense(3)(x)))
    examples, truth = np.random.default_rng(0).normal(size=(5, 4)).astype("float32"), np.arange(5) % 3
    report = export.saved_model(model, tmp_path / "1", sample=examples, truth=truth)
    np.testing.assert_allclose(report.outputs.pop(output), model.predict(examples, verbose=0), atol=1e-6)
    assert report.outputs == {}


def shared_encoder():
    """Return a model with an encoder that is called twice, and a layer that has the name of a second encoder."""
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    encoder = keras.Sequential([keras.Input((3,)), L.Dense(2)], name="encoder")
    return keras.Model([a, b], [encoder(a), L.Dense(4, name="encoder_1")(a), encoder(b)])


def with_states():
    a = keras.Input((5, 3), name="a")
    return keras.Model([a], L.LSTM(2, return_sequences=True, return_state=True, name="lstm")(a))


@pytest.mark.parametrize(
    ("make", "names"),
    [(shared_encoder, ["encoder_2", "encoder_1", "encoder_3"]), (with_states, ["lstm_1", "lstm_2", "lstm_3"])],
)
def test_outputs_of_the_same_name_are_numbered(tmp_path, make, names):
    model = make()
    random = np.random.default_rng(0)
    sample = {tensor.name: random.normal(size=(4, *tensor.shape[1:])).astype("float32") for tensor in model.inputs}
    report = export.saved_model(model, tmp_path / "1", sample=sample)
    served = tf.saved_model.load(report.path).signatures["serve"](**sample)
    assert set(served) == set(names)
    for name, expected in zip(names, model.predict(list(sample.values()), verbose=0), strict=True):
        np.testing.assert_allclose(served[name], expected, atol=1e-5)


def test_several_inputs_and_outputs_keep_their_names(tmp_path):
    a, b = keras.Input((3,), name="left"), keras.Input((2,), name="right")
    x = L.Concatenate()([L.BatchNormalization()(L.Dense(4)(a)), b])
    model = keras.Model([a, b], [L.Dense(1, name="price")(x), L.Dense(2, "softmax", name="kind")(x)])
    report = export.saved_model(model, tmp_path / "1")
    assert set(report.outputs) == {"price", "kind"}
    np.testing.assert_allclose(report.outputs["kind"].sum(-1), 1, rtol=1e-5)


def test_nan_outputs_are_refused(tmp_path, network):
    network.get_layer("logits").bias.assign([np.nan, 0, 0])
    with pytest.raises(RuntimeError, match="differs"):
        export.saved_model(network, tmp_path / "1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.own_process
def test_an_artefact_that_does_not_load_is_told(tmp_path):
    broken = tmp_path / "1"
    broken.mkdir()
    model = bnzoo.MLP(input_shape=(4,), classes=2)
    with pytest.raises(RuntimeError, match="saved_model artefact cannot be run in another process"):
        export.compare(model, broken, np.ones((2, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16", "float64"])
def test_other_precisions_are_exported_in_float32(tmp_path, random_statistics, policy):
    keras.config.set_dtype_policy(policy)
    try:
        model = random_statistics(bnzoo.ResNetCifar(8, input_shape=(8, 8, 1), classes=3))
    finally:
        keras.config.set_dtype_policy("float32")
    report = export.saved_model(model, tmp_path / "1")
    assert report.outputs["probabilities"].dtype == np.float32
    assert len(report.fold.folded) == 7
    stored = [v.dtype for v in tf.saved_model.load(tmp_path / "1").weights]
    assert set(stored) == {tf.float32}
    x = np.random.default_rng(0).normal(size=(32, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(report.outputs["probabilities"], np.float32(model(x)), atol=0.05)
    assert model.layers[1].compute_dtype == keras.DTypePolicy(policy).compute_dtype, "the model stays as it is"


@pytest.mark.slow
def test_nested_models_are_exported_in_float32(tmp_path):
    """The memory-efficient DenseNet has inputs in 16 bits inside."""
    options = {"input_shape": (8, 8, 1), "memory_efficient": True}
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = bnzoo.DenseNetCifar(10, 4, **options)
    finally:
        keras.config.set_dtype_policy("float32")
    exact = bnzoo.DenseNetCifar(10, 4, **options)
    exact.set_weights(model.get_weights())
    x = np.random.default_rng(0).normal(size=(8, 8, 8, 1)).astype("float32")
    report = export.saved_model(model, tmp_path / "1", sample=x)
    np.testing.assert_allclose(report.outputs["probabilities"], exact.predict(x, verbose=0), rtol=1e-4)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = L.Dense(2)

    def call(self, x):
        return self.dense(x)


class Scale(L.Layer):
    """A layer from outside this package."""

    def __init__(self, factor, **options):
        super().__init__(**options)
        self.factor = factor
        self.shift = self.add_weight(shape=(), initializer="ones")

    def call(self, x):
        return self.factor * x + self.shift


def two_inputs():
    a, b = keras.Input((8, 8, 3), name="left"), keras.Input((8, 8, 3), name="right")
    return keras.Model([a, b], L.Dense(2)(L.Flatten()(L.Add()([a, b]))))


def indices():
    x = keras.Input((3,), dtype="int32", name="index")
    return keras.Model(x, L.Flatten()(L.Embedding(5, 2)(x)))


WORDS = [["good movie"], ["bad film"], ["fine movie and good"], ["übel"]]


def texts():
    text = keras.Input((1,), dtype="string", name="text")
    vectors = L.TextVectorization(vocabulary=["good", "bad", "übel"], output_sequence_length=4)(text)
    x = L.GlobalAveragePooling1D()(L.Embedding(5, 3)(vectors))
    return keras.Model(text, L.Dense(2, "softmax")(x))


def test_strings_are_looked_up_in_the_vocabulary_of_the_model(tmp_path):
    model = texts()
    report = export.saved_model(model, tmp_path / "1", fold=False, sample=np.array(WORDS, object))
    expected = model(tf.constant(WORDS))
    np.testing.assert_allclose(report.outputs["probabilities"], expected, atol=1e-6)
    [found] = export.verify(report.path)
    assert (found.problems, found.notes) == ([], [])
    serve = tf.saved_model.load(report.path).signatures["serve"]
    np.testing.assert_allclose(serve(text=tf.constant(WORDS))["probabilities"], expected, atol=1e-6)


def test_a_subclassed_model_is_exported_as_told(tmp_path):
    x = keras.Input((3,), name="x")
    model = keras.Model(x, Subclassed()(x))
    report = export.saved_model(model, tmp_path / "1", fold=False, sample=np.float32([[1, 2, 3]]))
    np.testing.assert_allclose(report.outputs["subclassed"], model(np.float32([[1, 2, 3]])), atol=1e-6)
    with pytest.raises(ValueError, match="Give the class a `get_config`"):
        export.saved_model(model, tmp_path / "2")


def test_layers_that_are_not_of_this_package(tmp_path):
    x = keras.Input((3,), name="x")
    model = keras.Model(x, Scale(2.0)(L.BatchNormalization(epsilon=0.0)(L.Dense(3, kernel_initializer="identity")(x))))
    report = export.saved_model(model, tmp_path / "1", sample=np.float32([[1, 2, 3]]))
    assert len(report.fold.folded) == 1
    np.testing.assert_array_equal(report.outputs[model.output_names[0]], [[3, 5, 7]])


def test_any_height_and_width(tmp_path):
    model = bnzoo.ResNetCifar(8, input_shape=(None, None, 1), classes=3)
    export.saved_model(model, tmp_path / "1", sample=np.ones((2, 16, 12, 1)))
    serve = tf.saved_model.load(tmp_path / "1").signatures["serve"]
    x = np.random.default_rng(0).normal(size=(3, 10, 20, 1)).astype("float32")
    np.testing.assert_allclose(serve(image=tf.constant(x))["probabilities"], model.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize(
    ("shapes", "names"), [([(8, 8, 3)], ["image"]), ([(4,)], ["input"]), ([(4,), (3,)], ["input_1", "input_2"])]
)
def test_inputs_without_a_name_get_one_that_stays(tmp_path, shapes, names):
    for version in ("1", "2"):  # the names of Keras count up
        inputs = [keras.Input(shape) for shape in shapes]
        outputs = L.Concatenate()([L.Flatten()(x) for x in [*inputs, *inputs]])
        export.saved_model(keras.Model(inputs, outputs), tmp_path / version)
        taken = tf.saved_model.load(tmp_path / version).signatures["serve"].structured_input_signature[1]
        assert sorted(taken) == names


@pytest.mark.parametrize(
    ("given", "served"),
    [(["input_2", "input_1"], ["input_2", "input_1"]), ([None, "input_1", None], ["input_2", "input_1", "input_3"])],
)
def test_inputs_with_a_name_keep_it(tmp_path, given, served):
    inputs = [keras.Input((1,), name=name) for name in given]
    model = keras.Model(inputs, L.Concatenate(name="all")(inputs))
    report = export.saved_model(model, tmp_path / "1")
    examples = {name: tf.constant([[float(position)]]) for position, name in enumerate(served)}
    outputs = tf.saved_model.load(report.path).signatures["serve"](**examples)
    np.testing.assert_array_equal(outputs["all"], [range(len(given))])


@pytest.mark.slow
@pytest.mark.extras("tensorflow_serving")
def test_warmup_requests_are_those_of_tensorflow_serving(tmp_path):
    from tensorflow_serving.apis import prediction_log_pb2

    x = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")
    model = bnzoo.ResNetCifar(8, input_shape=(8, 8, 3), classes=3)
    export.saved_model(model, tmp_path / "1", warmup=(1, 5), sample=x, image="unit")
    serving = tf.saved_model.load(tmp_path / "1").signatures
    found = []
    for record in tf.data.TFRecordDataset(str(tmp_path / "1/assets.extra/tf_serving_warmup_requests")):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
        signature = request.model_spec.signature_name
        outputs = serving[signature](**inputs)
        found.append((signature, len(outputs["probabilities"])))
        if signature in ("serve", "serving_default"):
            size = len(outputs["probabilities"])
            np.testing.assert_array_equal(inputs["image"], x[np.arange(size) % 3])
    assert sorted(found) == [(name, size) for name in sorted(serving) for size in (1, 5)]


def test_warmup_tells_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    with pytest.raises(ImportError, match=r"pip install 'bnzoo\[warmup\]'"):
        export.saved_model(bnzoo.MLP(input_shape=(4,), classes=2), tmp_path / "1", warmup=(1,))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path, network):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "theirs").write_text("x")
    with pytest.raises(FileExistsError, match="is not overwritten"):
        export.saved_model(network, tmp_path / "1")


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: keras.Sequential([L.Dense(2)]), {}, "must be a built functional or Sequential"),
        (Subclassed, {}, r"Convert a subclassed model with `keras.Model\(x, model\(x\)\)`"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"labels": ["a"]}, "1 labels for 2 classes and 1 outputs"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"labels": ["a\nb", "c"]}, "without line breaks"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"labels": ["a", "b\u2028"]}, "without line breaks"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"labels": ["a", "b\ud800"]}, "without line breaks"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"sample": [["x"] * 4]}, "`sample` must be float32 for the"),
        (texts, {}, "`sample` is missing: examples of the input 'text', string"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"sample": {"x": 1}}, "an array for each input: features"),
        (lambda: bnzoo.ResNet18(input_shape=(None, None, 3)), {}, "`sample` is missing"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"sample": np.ones((2, 5))}, r"takes \(None, 4\).*\(2, 5\)"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"sample": np.ones((0, 4))}, "at least one example"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"warmup": (0,)}, "`warmup` must be a positive integer"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"warmup": range(1, 1002)}, "at most 1000 requests"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"warmup": (10**12,)}, "at most 2,147,483,647 bytes of req"),
        (
            lambda: bnzoo.MLP(input_shape=(4,), classes=2),
            {"image": "raw"},
            r"`image` does not fit a model with inputs of the shapes",
        ),
        (lambda: bnzoo.ResNet18(input_shape=(None, None, 3)), {"image": "raw"}, "all fixed except the batch"),
        (two_inputs, {"image": "raw"}, "inputs of the shapes \\(None, 8, 8, 3\\), \\(None"),
        (lambda: bnzoo.MLP(input_shape=(4,), classes=2), {"image": "troch"}, "Unknown `image`: 'troch'. Did you mean"),
        (indices, {}, "`sample` is missing: examples of the input 'index', int32"),
    ],
)
def test_what_cannot_be_exported_is_told(tmp_path, make, options, message):
    with pytest.raises(ValueError, match=message):
        export.saved_model(make(), tmp_path / "1", **options)
    assert list(tmp_path.iterdir()) == []
