"""`bnzoo train`."""

import csv
import json
import shutil
import time

import keras
import numpy as np
import pytest
from test_cli import bnzoo  # noqa: F401

from bnzoo.keras_internals import flatten_layers

WORDS = ("train", "mlp", "--data", "wine", "--depth", "1", "--option", "width=8", "--learning-rate", "0.05")
KINDS = {"LayerNormalization", "BatchNormalization"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--precision", "float8"), "Unknown `precision`: 'float8'"),
        (("--schedule", "lineal"), "Unknown `schedule`: 'lineal'. Did you mean 'linear'?"),
        (("--schedule", "half_cosine", "--warmup", "0.1"), "`warmup` needs a schedule with a warm-up: warmup_cosine"),
        (("--optimizer", "sgd,muon"), "Unknown `optimizer`: 'sgd,muon'"),
        (("--optimizer", "adamw", "--momentum", "0.5"), "`momentum` is for optimizer='sgd'"),
        (("--norm", "batch,none"), "A training has one value of norm. Received: batch, none. Search them with bnzoo"),
        (("--activation", "relu,silu"), "A training has one value of activation. Received: relu, silu."),
        (("--option", "dropout_rate=0,0.5"), "A training has one value of dropout_rate. Received: 0, 0.5."),
        (("--learning-rate", "0"), "`learning_rate` must be a number above 0"),
        (("--budget", "0.001"), "--budget 0.001s is too short: the start and reading"),
        (("--budget", "soon"), "--budget must be a time such as 90s"),
        (("--all-data", "--patience", "2"), "`patience` needs validation data"),
        (("--option", "optimizer=sgd"), "--option optimizer is not allowed. Use --optimizer"),
    ],
)
def test_mistakes(bnzoo, tmp_path, words, message):  # noqa: F811
    status, _, err = bnzoo(*WORDS, *words, "--output", tmp_path / "run")
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.fixture
def asked(bnzoo, monkeypatch, tmp_path):  # noqa: F811
    """A function that returns the model, the data and the options with which `bnzoo train` calls `bnzoo.train`."""
    found = []

    def train(model, data, *, progress, **options):
        found.append((model, data, options))
        raise KeyboardInterrupt

    def ask(*words):
        status, _, err = bnzoo(*words, "--output", tmp_path / "run")
        assert status == 130, err
        return found.pop()

    monkeypatch.setattr("bnzoo.train", train)
    return ask


@pytest.mark.parametrize(("family", "kind"), [("vit", "LayerNormalization"), ("resnet", "BatchNormalization")])
def test_the_default_norm_is_that_of_the_family(asked, family, kind):
    model, *_ = asked("train", family)
    assert {type(layer).__name__ for layer in flatten_layers(model)} & KINDS == {kind}


DEFAULTS = {
    **{"epochs": None, "budget": None, "batch_size": None, "schedule": None, "warmup": None, "precision": "auto"},
    **{"average": True, "patience": None, "class_weight": None, "all_data": False, "seed": 0, "tensorboard": None},
}


def test_the_options_of_a_training_reach_it(asked, tmp_path):
    words = ("--schedule", "linear", "--warmup", 0.2, "--no-average", "--patience", 3, "--class-weight", "balanced")
    *_, options = asked(*WORDS, *words, "--seed", 4, "--epochs", 7, "--batch-size", 32, "--precision", "bfloat16")
    expected = {"schedule": "linear", "warmup": 0.2, "average": False, "patience": 3, "class_weight": "balanced"}
    expected |= {"seed": 4, "epochs": 7, "batch_size": 32, "precision": "bfloat16"}
    assert options == DEFAULTS | expected | {"learning_rate": 0.05, "directory": tmp_path / "run"}


def test_the_rest_of_a_budget_reaches_the_training(asked, tmp_path):
    *_, options = asked(*WORDS, "--budget", "10h")
    assert 0 < options.pop("budget") < 10 * 3600, "the start has taken a part of it"
    assert options == {name: value for name, value in DEFAULTS.items() if name != "budget"} | {
        "learning_rate": 0.05,
        "directory": tmp_path / "run",
    }


def test_the_options_of_the_training_of_a_study_reach_it(bnzoo, monkeypatch, tmp_path):  # noqa: F811
    found = []

    def trained(folder, data, trial, *, progress, **options):
        found.append((folder, data.name, trial, options))
        raise KeyboardInterrupt

    monkeypatch.setattr("bnzoo.cli.train_study.trained", trained)
    words = ("--schedule", "linear", "--warmup", 0.2, "--no-average", "--patience", 3, "--precision", "bfloat16")
    words += ("--epochs", 7, "--augment", "none", "--trial", 4, "--tensorboard", tmp_path / "logs")
    status, _, err = bnzoo("train", tmp_path, "--data", "wine", *words)
    assert status == 130, err
    expected = {"schedule": "linear", "warmup": 0.2, "average": False, "patience": 3, "precision": "bfloat16"}
    expected |= {"epochs": 7, "augment": "none", "all_data": False, "tensorboard": tmp_path / "logs"}
    assert found == [(tmp_path, "wine", 4, expected | {"deadline": None})]
    start = time.monotonic()
    bnzoo("train", tmp_path, "--data", "wine", *words, "--budget", "1h")
    assert 3000 < found[1][-1]["deadline"] - start < 3600, "the report follows"


def test_all_data_reaches_the_training_and_the_seed_the_weights(asked, tmp_path):
    model, _, options = asked(*WORDS, "--all-data")
    assert options == DEFAULTS | {"all_data": True, "learning_rate": 0.05, "directory": tmp_path / "run"}
    models = (model, asked(*WORDS)[0], asked(*WORDS, "--seed", 4)[0])
    (first, *_), (again, *_), (other, *_) = (each.get_weights() for each in models)
    np.testing.assert_array_equal(again, first)
    assert (other != first).any()


@pytest.mark.parametrize(
    ("words", "kind", "expected"),
    [
        (("sgd", "--momentum", 0.5, "--weight-decay", 0.01), "SGD", {"momentum": 0.5, "weight_decay": 0.01}),
        (("muon", "--momentum", 0.8), "Muon", {"momentum": 0.8, "weight_decay": 0.05}),
        (("adamw", "--weight-decay", 0.2), "AdamW", {"weight_decay": 0.2}),
    ],
)
def test_the_optimizer_is_that_of_the_command(asked, words, kind, expected):
    model, *_ = asked(*WORDS, "--optimizer", *words)
    found = model.optimizer.get_config()
    assert type(model.optimizer).__name__ == kind
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["learning_rate"] == pytest.approx(0.05)


def test_the_activation_is_that_of_the_command(asked):
    model, *_ = asked(*WORDS, "--activation", "silu")
    activations = {layer.activation.__name__ for layer in flatten_layers(model) if hasattr(layer, "activation")}
    assert activations == {"silu", "linear"}


@pytest.mark.parametrize(("placement", "last"), [("pre", "Conv2D"), ("post", "BatchNormalization")])
def test_placement_and_augmentation_are_those_of_the_command(asked, placement, last):
    """A branch of He et al. 2016 ends with a convolution if activations come first, else with a norm."""
    words = ("resnet", "--data", "digits", "--depth", "8", "--augment", "flip,crop")
    model, examples, _ = asked("train", *words, "--placement", placement)
    kinds = [type(layer).__name__ for layer in flatten_layers(model)]
    assert kinds[kinds.index("Add") - 1] == last
    assert tuple(examples.augment) == ("flip", "crop")


@pytest.mark.slow
def test_a_configuration_is_trained_and_exported(bnzoo, tmp_path, verified_here):  # noqa: F811
    output = tmp_path / "run"
    words = ("--epochs", 3, "--batch-size", 16, "--precision", "float32", "--tensorboard", tmp_path / "logs")
    status, out, err = bnzoo(*WORDS, *words, "--output", output)
    assert status == 0, err
    artefact = json.loads((output / "export.json").read_text())
    assert artefact["training"]["learning_rate"] == 0.05
    assert f"Test accuracy {artefact['test_accuracy']:.2%}" in out
    assert f" in float32, {artefact['training']['weights']} weights (validation loss: " in out
    assert "epoch 3/3" in err
    with (output / "history.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2", "3"]
    assert list((tmp_path / "logs" / "train").glob("events.*"))
    (output / "best/1/saved_model.pb").write_bytes(b"x")
    status, _, err = bnzoo(*WORDS, *words, "--output", output)
    assert status == 2
    assert err.splitlines()[-1].startswith(f"bnzoo: {output / 'best/1'} is damaged: ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("empty", "--depth", "8"), "--depth is not allowed for the folder of a study"),
        (("empty", "--output", "run"), "--output is not allowed for the folder of a study"),
        (("empty",), "empty has no study"),
        (("mlp", "--trial", "1"), "--trial is for the folder of a study"),
    ],
)
def test_mistakes_with_a_folder(bnzoo, tmp_path, monkeypatch, words, message):  # noqa: F811
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    status, _, err = bnzoo("train", *words)
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1


@pytest.mark.slow
def test_the_best_trial_of_a_study_is_trained_by_its_folder(bnzoo, tmp_path, verified_here):  # noqa: F811
    study = tmp_path / "study"
    axes = ("--depths", 1, "--norms", "batch", "--learning-rates", "0.05:0.05:1", "--option", "width=8")
    words = ("tune", "mlp", "--data", "wine", *axes, "--batch-size", 16, "--epochs", 10, "--no-final")
    status, _, err = bnzoo(*words, "--output", study)
    assert status == 0, err
    status, _, err = bnzoo("train", study, "--epochs", 2, "--precision", "float32")
    assert status == 0, err
    training = json.loads((study / "export.json").read_text())["training"]
    assert [training[name] for name in ("trial", "epochs", "batch_size", "learning_rate")] == [0, 2, 16, 0.05]
    words = "did not reach it" if training["weights"] == "trial" else "of the best configuration: 2 epochs in float32."
    assert f"the final training {words}" in (study / "report.html").read_text()
    for mistake, message in ((("--data", "digits"), "has another study"), (("--trial", 9), "has no trial 9")):
        status, _, err = bnzoo("train", study, *mistake)
        assert status == 2
        assert message in err


@pytest.mark.slow
def test_a_finished_study_makes_again_what_is_missing(bnzoo, few_digits, tmp_path, verified_here):  # noqa: F811
    """The model that is missing is that of the final training, not that of the trial."""
    study = tmp_path / "study"
    axes = ("--depths", 1, "--norms", "batch", "--learning-rates", "0.05:0.1:2", "--option", "width=8")
    words = ("tune", "mlp", "--data", few_digits.name, *axes, "--batch-size", 16, "--epochs", 2, "--output", study)

    def run(*more):
        status, _, err = bnzoo(*words, *more)
        assert status == 0, err
        artefact = json.loads((study / "export.json").read_text())
        return artefact, keras.saving.load_model(study / "best.keras").get_weights()

    first, weights = run()
    for remove in (
        lambda: (study / "best.keras").unlink(),
        lambda: shutil.rmtree(study / "best" / "1"),
        lambda: (study / "results.csv").unlink(),
    ):
        remove()
        artefact, again = run()
        for one, two in zip(weights, again, strict=True):
            np.testing.assert_array_equal(one, two)
        assert artefact["measures"] == first["measures"]
        assert (study / "best" / "1" / "saved_model.pb").exists()
        assert len((study / "results.csv").read_text().splitlines()) == 3
    artefact, _ = run("--augment", "none")
    assert (artefact["training"]["data"]["augment"], artefact["path"]) == ([], str(study / "best" / "2"))
    artefact, _ = run()
    assert artefact["path"] == str(study / "best" / "2"), "a training that was asked for stays"
