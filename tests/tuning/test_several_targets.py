"""Studies of several labels an example and of several targets, from a CSV file to a served row."""

import hashlib

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn import metrics as peer

from bnzoo import data, tools, tuning
from bnzoo.data import Dataset, Split
from bnzoo.export import image, parity
from bnzoo.export.signatures import SERVE_IMAGE_BYTES, signatures
from bnzoo.predicting.answers import answers
from bnzoo.predicting.examples import batches
from bnzoo.predicting.predictor import open_predictor
from bnzoo.training.tasks import Multilabel, Regression
from bnzoo.tuning.objective import objective_of
from bnzoo.tuning.trial import _guessing

LABELS, TARGETS = ["tall", "red, dark", "rare"], ["mass", "size"]


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3))
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": random.choice(["red", "blue"], 400)})
    table["tall"] = (x[:, 0] + x[:, 1] > 0.5).astype(int)
    table["red, dark"] = (table["kind"] == "red").astype(int)
    table["rare"] = (x[:, 0] > 1.3).astype(int)
    table["mass"] = 1e6 + 5e4 * x[:, 0] + 1e3 * x[:, 2]
    table["size"] = 0.01 * x[:, 1] + 0.001 * x[:, 2]
    return table


def study_of(frame, targets, folder):
    features = ["a", "b", "kind"]
    frame[[*features, *targets]].to_csv(folder / "table.csv", index=False)
    space = tuning.MLPSpace(depths=(1,), norms=("batch",), learning_rates=(0.1, 0.2, 2), width=32)
    study = tuning.Study(space, data.load(folder / "table.csv", target=targets), folder / "study", epochs=10)
    study.run(lambda *event: None, trials=1)
    return study


def served(artefact, frame):
    """Return the outputs for rows, as a program with TensorFlow alone receives them."""
    rows = {"a": tf.constant(frame["a"]), "b": tf.constant(frame["b"]), "kind": tf.constant(frame["kind"].tolist())}
    outputs = tf.saved_model.load(artefact.path).signatures["serve_rows"](**rows)
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def predicted(study, path):
    predictor = open_predictor(study.directory)
    (batch,) = batches(predictor, [path])
    return dict(answers(batch, predictor(batch.arrays, batch.signature), predictor.labels).columns)


@pytest.mark.slow
def test_several_labels_from_the_table_to_a_served_row(frame, tmp_path, verified_here):
    study = study_of(frame, LABELS, tmp_path)
    artefact, test = study.export(), study.data.test
    logits = study.best_model().predict(test.x, verbose=0)
    probabilities = 1 / (1 + np.exp(-logits.astype(float)))
    expected = peer.average_precision_score(test.y, probabilities)
    assert (artefact.metric, artefact.test_accuracy) == ("mean average precision", pytest.approx(expected, abs=1e-6))
    assert expected > 0.85
    assert artefact.measures.test["macro_f1"].value == pytest.approx(
        peer.f1_score(test.y, probabilities >= 0.5, average="macro")
    )
    assert artefact.measures.guessing["mean_average_precision"] == pytest.approx(test.y.mean(0).mean())
    assert artefact.measures.confusion == []
    best, truth = study.results.best, study.data.validation.y
    validation = study.best_model().predict(study.data.validation.x, verbose=0)
    assert best.accuracy == pytest.approx(peer.average_precision_score(truth, validation), abs=1e-6)
    loss = np.logaddexp(0, np.where(truth == 1, -validation, validation).astype(float)).mean()
    assert (best.score, best.outcome) == (pytest.approx(loss, rel=1e-4), "ok")
    assert "mean average precision" in str(study.verdict)
    assert "always guessing the shares of the labels" in str(study.verdict)
    assert "mean average precision" in study.report().read_text()

    outputs = served(artefact, frame.head(20))
    assert outputs["probabilities"].shape == (20, 3)
    encoded = study.best_model().predict(study.data.encode(frame.head(20)), verbose=0)
    np.testing.assert_allclose(outputs["probabilities"], 1 / (1 + np.exp(-encoded)), atol=1e-5)
    first = outputs["probabilities"][0].argmax()
    assert outputs["label"][0, 0].decode() == LABELS[first]
    columns = predicted(study, tmp_path / "table.csv")
    np.testing.assert_allclose(columns["probability of red, dark"][:20], outputs["probabilities"][:, 1], atol=1e-5)
    assert list(columns) == ["input", "row", *(f"probability of {label}" for label in LABELS)]


@pytest.mark.slow
def test_two_targets_from_the_table_to_a_served_row(frame, tmp_path, verified_here):
    study = study_of(frame, TARGETS, tmp_path)
    artefact, test = study.export(), study.data.test
    numbers = study.best_model().predict(test.x, verbose=0).astype(float)
    assert (artefact.metric, artefact.test_accuracy) == ("R²", pytest.approx(peer.r2_score(test.y, numbers), abs=1e-5))
    assert artefact.test_accuracy > 0.8
    names = {"r2", "rmse:mass", "mae:mass", "rmse:size", "mae:size"}
    assert set(artefact.measures.test) == names
    errors = peer.root_mean_squared_error(test.y, numbers, multioutput="raw_values")
    assert artefact.measures.test["rmse:size"].value == pytest.approx(errors[1], rel=1e-4)
    assert "RMSE of mass" in [row["metric"] for row in tuning.Artefact.load(artefact_note(study)).measures.rows()]
    best, (x, truth) = study.results.best, study.data.validation
    squares = np.square(study.best_model().predict(x, verbose=0).astype(float) - truth).mean(0)
    assert best.loss == pytest.approx((squares / np.array(study.data.target_scale[1])).mean(), rel=1e-3)
    assert best.accuracy == pytest.approx(artefact.measures.validation["r2"], abs=1e-4)
    assert "RMSE of mass" in study.report().read_text()

    outputs = served(artefact, frame.head(20))
    encoded = study.best_model().predict(study.data.encode(frame.head(20)), verbose=0)
    np.testing.assert_allclose(outputs["prediction"], encoded, rtol=1e-4, atol=1e-6)
    columns = predicted(study, tmp_path / "table.csv")
    assert list(columns) == ["input", "row", "prediction of mass", "prediction of size"]
    np.testing.assert_allclose(columns["prediction of size"][:20], outputs["prediction"][:, 1], rtol=1e-4, atol=1e-6)


def artefact_note(study):
    return study.directory / "export.json"


def labelled(y):
    split = Split(np.zeros((len(y), 2), "float32"), np.asarray(y, "int32"))
    return Dataset("labels", ("a", "b"), split, split, split)


def test_the_loss_of_guessing_labels_is_their_mean_entropy():
    found = labelled([[0, 1], [0, 1], [1, 1], [0, 0]])
    expected = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert _guessing(found, None) == pytest.approx(expected)
    assert objective_of("loss", found).cap == pytest.approx(2 * np.log(2))


def test_class_weights_and_errors_of_numbers_are_refused(tmp_path):
    space = tuning.MLPSpace(depths=(1,))
    with pytest.raises(ValueError, match="`class_weight` is for one class an example, and labels has several labels"):
        tuning.Study(space, labelled([[0, 1], [1, 0]]), tmp_path, class_weight="balanced")
    two = Split(np.zeros((4, 2), "float32"), np.arange(8.0, dtype="float32").reshape(4, 2))
    with pytest.raises(ValueError, match="objective"):
        tuning.Study(space, Dataset("numbers", (), two, two, two), tmp_path, objective="rmse")


def test_each_target_is_verified_in_its_own_unit():
    expected, actual = ({"serve": {"prediction": np.array([[1e6, 1e-3], [0, 0]])}} for _ in range(2))
    assert parity.difference(expected, actual) == 0
    actual["serve"]["prediction"][0, 1] = 2e-3
    assert parity.difference(expected, actual) == pytest.approx(1)


def test_the_losses_of_several_outputs():
    random = np.random.default_rng(0)
    inputs = keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Activation("linear", name="logits")(inputs))
    logits, labels = random.normal(size=(9, 2)), random.integers(0, 2, (9, 2))
    binary = np.logaddexp(0, np.where(labels, -logits, logits)).mean()
    assert Multilabel(2).compile_arguments()["loss"](labels, logits).numpy() == pytest.approx(binary, rel=1e-5)
    means, deviations = np.array([1e6, -2e-3]), np.array([1e3, 1e-4])
    task = Regression(means.tolist(), (deviations**2).tolist())
    truth = means + deviations * random.normal(size=(9, 2))
    numbers = task.finish(model).predict(logits, verbose=0).astype(float)
    np.testing.assert_allclose(numbers, means + deviations * logits, rtol=1e-5)
    loss = (((truth - numbers) / deviations) ** 2).mean()
    options = task.compile_arguments()
    assert options["loss"](truth, numbers).numpy() == pytest.approx(loss, rel=1e-3)
    (metric,) = options["metrics"]
    metric.update_state(truth, numbers)
    assert metric.result().numpy() == pytest.approx(peer.r2_score(truth, numbers), rel=1e-2)
    kept = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(options["loss"]))
    assert kept(truth, numbers) == options["loss"](truth, numbers)


@pytest.mark.parametrize("name", ["wine", "diabetes"])
def test_studies_of_one_target_have_the_same_definition(tmp_path, name):
    one = data.load(name)
    digest = hashlib.sha256(repr((one.labels, one.input_shape)).encode())
    for x, y in (one.train, one.validation, one.test):
        digest.update(np.ascontiguousarray(x, "float32").tobytes() + y.tobytes())
    study = tuning.Study(tuning.MLPSpace(depths=(1,)), one, tmp_path)
    shape = list(one.input_shape)
    fingerprint = digest.hexdigest()
    expected = {"name": name, "classes": one.classes, "input_shape": shape, "fingerprint": fingerprint}
    assert study.definition["data"] == expected
    assert not {"task", "targets"} & study.definition["space"].keys()


@pytest.fixture(scope="module")
def label_model():
    """A model of images with several labels an example, which is not compiled."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6, 5, 1), name="image")
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, use_bias=False)(inputs))
    return keras.Model(inputs, keras.layers.Dense(3, name="label_logits")(keras.layers.Flatten()(x)))


@pytest.mark.slow
def test_files_of_images_get_a_probability_of_each_label(label_model):
    levels = np.random.default_rng(0).integers(0, 256, (6, 5, 1), dtype="uint8")
    serve = signatures(label_model, image.get("raw"), ["a", "b", "c"])[SERVE_IMAGE_BYTES]
    outputs = serve.call(image_bytes=tf.constant([tf.io.encode_png(levels).numpy()]))
    logits = label_model.predict(levels[None].astype("float32"), verbose=0)[0]
    np.testing.assert_allclose(outputs["probabilities"][0], 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert outputs["label"][0].numpy().tolist() == [b"abc"[i : i + 1] for i in np.argsort(-logits)]


def test_the_checkup_knows_the_loss_of_labels(label_model):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(64, 6, 5, 1)).astype("float32"), random.integers(0, 2, (64, 3))
    assert "Gradients were not measured" not in str(tools.health(label_model, (x, y)))
