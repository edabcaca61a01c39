"""Objectives, class weights, and the metrics of the best model, compared with scikit-learn's."""

import json
from dataclasses import replace

import keras_tuner
import numpy as np
import pytest
from planted import planted
from sklearn import metrics as peer
from sklearn.utils.class_weight import compute_sample_weight

from bnzoo import tuning
from bnzoo.data import Dataset, Split, load
from bnzoo.metrics import softmax
from bnzoo.training.measures import Measures, measure
from bnzoo.tuning.objective import loss_objective, objective_of, score_cap
from bnzoo.tuning.planning import StudyPlan
from bnzoo.tuning.trial import CompiledModel, train_and_evaluate
from bnzoo.tuning.verdict import verdict


@pytest.fixture(scope="module")
def uneven(few_digits):
    """Digits of which one class has a third of its training examples."""
    x, y = few_digits.train
    kept = (y != 3) | (np.arange(len(y)) % 3 == 0)
    return replace(few_digits, train=Split(x[kept], y[kept]))


def compiled_model(data, norm, **options):
    space = tuning.MLPSpace(depths=(1,), norms=(norm,), width=16, batch_size=16).for_data(data)
    hp = keras_tuner.HyperParameters()
    hp.values.update(depth=1, norm=norm, learning_rate=0.1)
    return CompiledModel(space, hp, data, 0, **options)


def trained(data, **options):
    compiled = compiled_model(data, "batch", **options)
    return compiled, train_and_evaluate(compiled, 0, 0.1, epochs=2)


@pytest.mark.slow
def test_the_score_of_an_objective(uneven):
    truth = uneven.validation.y
    compiled, found = trained(uneven, objective=objective_of("macro_f1", uneven))
    predicted = compiled.model.predict(uneven.validation.x, verbose=0).argmax(-1)
    assert found.score == pytest.approx(1 - peer.f1_score(truth, predicted, average="macro"))
    assert found.score != found.loss


@pytest.mark.slow
def test_class_weights(uneven):
    """The loss has the weights of scikit-learn's `balanced`, the metrics have none."""
    compiled, found = trained(
        uneven, objective=loss_objective(score_cap("classification", 10), True), class_weight="balanced"
    )
    x, y = uneven.validation
    probabilities = softmax(compiled.model.predict(x, verbose=0))
    counts = np.bincount(uneven.train.y)
    weights = (len(uneven.train.y) / (10 * counts))[y]
    np.testing.assert_allclose(
        compiled.class_weights[uneven.train.y], compute_sample_weight("balanced", uneven.train.y)
    )
    losses = -np.log(probabilities[np.arange(len(y)), y])
    assert found.score == found.loss == pytest.approx((weights * losses).mean(), rel=1e-5)
    assert found.accuracy == pytest.approx((probabilities.argmax(-1) == y).mean())
    assert found.history["loss"] != trained(uneven)[1].history["loss"]


@pytest.mark.slow
@pytest.mark.parametrize("augment", ["mixup", "cutmix"])
def test_class_weights_of_mixed_examples(uneven, augment):
    """The weight of a mixed example is the mean of the weights of its classes."""
    compiled = compiled_model(replace(uneven, augment=augment), "none", class_weight="balanced")
    compiled.restore(0, 0.0)  # steps of length 0: all batches meet the same weights of the model
    found = compiled.fit(0, 1, [])["loss"]
    weights = len(uneven.train.y) / (10 * np.bincount(uneven.train.y))
    expected, steps = [], len(uneven.train.y) // 16
    for x, shares in compiled.batches(0).take(steps).as_numpy_iterator():
        assert ((shares > 0) & (shares < 1)).any()
        logs = np.log(softmax(compiled.model.predict_on_batch(x)))
        expected.append((shares @ weights * -(shares * logs).sum(-1)).mean())
    assert found == [pytest.approx(np.mean(expected), rel=1e-5)]


@pytest.mark.parametrize(
    "name", ["loss", "accuracy", "balanced_accuracy", "macro_f1", "top5", "auc", "calibration_error"]
)
def test_guessing_is_between_nothing_and_the_worst(few_digits, name):
    objective = objective_of(name, few_digits)
    assert 0 < objective.guessing <= objective.cap
    assert objective.score(np.nan, list, few_digits.validation.y) == objective.cap


def test_guessing_numbers():
    data = load("diabetes")
    truth = data.validation.y.astype(float)
    guess = np.full(len(truth), data.train.y.mean(dtype=float))
    assert objective_of("rmse", data).guessing == pytest.approx(peer.root_mean_squared_error(truth, guess))
    assert objective_of("mae", data).guessing == pytest.approx(peer.mean_absolute_error(truth, guess))
    assert objective_of("r2", data).guessing == pytest.approx(1 - peer.r2_score(truth, guess))


@pytest.fixture(scope="module")
def heavy_tailed():
    """A regression whose validation data has a target 40 deviations above the mean."""
    data = load("diabetes")
    x, y = data.validation
    mean, variance = data.target_scale
    return replace(data, validation=Split(x, np.append(y[:-1], mean + 40 * variance**0.5).astype(y.dtype)))


def test_the_loss_of_guessing_rises_with_a_large_target_in_the_validation_data(heavy_tailed):
    truth, train = heavy_tailed.validation.y.astype(float), heavy_tailed.train.y.astype(float)
    guessing = peer.mean_squared_error(truth, np.full(len(truth), train.mean())) / train.var()
    objective = objective_of("loss", heavy_tailed)
    assert (objective.guessing, objective.cap) == pytest.approx((guessing, 2 * guessing))
    assert guessing > 10
    assert objective_of("loss", load("diabetes")).cap == 2


def test_the_trials_of_a_plan_are_judged_by_a_guess_for_their_own_examples(tmp_path):
    random = np.random.default_rng(0)
    train, validation, test = (
        Split(random.normal(size=(count, 3)).astype("float32"), random.lognormal(0, 2, count).astype("float32"))
        for count in (100, 5_000, 10)
    )
    data = Dataset("made", (), train, validation, test)
    study = tuning.Study(tuning.MLPSpace(depths=(1,)), data, tmp_path, plan=StudyPlan(1, 1, {1: 5}, 1.0, 1.0, 1.0))
    caps = []
    for truth in (study.trial_data.validation.y, validation.y):
        guess = np.full(len(truth), train.y.astype(float).mean())
        caps.append(2 * peer.mean_squared_error(truth.astype(float), guess) / train.y.astype(float).var())
    assert len(study.trial_data.validation.y) == 2_000
    assert study.results.cap == pytest.approx(caps[0])
    assert caps[0] > 2
    assert caps[0] != pytest.approx(caps[1])


@pytest.mark.slow
def test_a_network_that_learns_all_but_a_large_target_has_not_diverged(heavy_tailed):
    _, found = trained(heavy_tailed)
    assert found.loss > 10
    assert found.outcome == "ok"


def test_the_definition_of_a_study(few_digits, tmp_path):
    """Earlier studies, which had neither option, keep their definition."""
    space = tuning.MLPSpace(depths=(1,))
    assert not {"objective", "class_weight"} & tuning.Study(space, few_digits, tmp_path).definition.keys()
    study = tuning.Study(space, few_digits, tmp_path, objective="auc", class_weight="balanced")
    assert (study.definition["objective"], study.definition["class_weight"]) == ("auc", "balanced")
    assert study.results.objective.label == "1 - AUC"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objective": "f1"}, "Unknown `objective`: 'f1'"),
        ({"objective": "rmse"}, "Unknown `objective`: 'rmse'"),
        ({"class_weight": "equal"}, "Unknown `class_weight`: 'equal'"),
    ],
)
def test_mistakes(few_digits, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        tuning.Study(tuning.MLPSpace(depths=(1,)), few_digits, tmp_path, **options)


def test_numbers_have_no_class_weight(tmp_path):
    with pytest.raises(ValueError, match="`class_weight` is for one class an example"):
        tuning.Study(tuning.MLPSpace(depths=(1,)), load("diabetes"), tmp_path, class_weight="balanced")


def test_results_name_the_objective_and_the_baseline(few_digits):
    results = planted(lambda depth, norm, rate, seed: rate / 10)
    results.objective, results.baseline = objective_of("macro_f1", few_digits), 0.1
    assert "validation accuracy 99.98% (always guessing the most frequent class: 10.00%), macro-F1 0.9990." in str(
        verdict(results)
    )
    assert "1 - macro-F1" in results.table()
    results.objective = objective_of("accuracy", few_digits)
    assert "class: 10.00%). " in verdict(results).sentence
    results.objective = loss_objective(score_cap("classification", 10), weighted=True)
    assert "class-weighted loss 0.0010. " in verdict(results).sentence
    regression = planted(lambda depth, norm, rate, seed: rate / 10, classes=0)
    regression.baseline = -0.001
    assert "R² 0.9998 (always guessing the mean: 0), loss 0.0010." in str(verdict(regression))


class Fixed:
    """A model with fixed predictions."""

    outputs = ()

    def __init__(self, predictions):
        self.predictions = predictions

    def predict(self, x, **options):
        return self.predictions


def test_the_measures_of_a_model(few_digits):
    random = np.random.default_rng(0)
    logits, validation = (random.normal(size=(len(split.y), 10)) for split in (few_digits.test, few_digits.validation))
    found = measure(Fixed(validation), {"logits": logits}, few_digits)
    truth = few_digits.test.y
    assert found.test["auc"].value == pytest.approx(peer.roc_auc_score(truth, softmax(logits), multi_class="ovr"))
    assert found.confusion == peer.confusion_matrix(truth, logits.argmax(-1)).tolist()
    expected = peer.balanced_accuracy_score(few_digits.validation.y, validation.argmax(-1))
    assert found.validation["balanced_accuracy"] == pytest.approx(expected)
    assert found.guessing["auc"] == 0.5
    assert found.labels == list(few_digits.labels)
    assert len(found.rows()) == len(found.test) == 6


def test_the_measures_of_numbers():
    data = load("diabetes")
    found = measure(Fixed(data.validation.y[:, None] + 3), {"prediction": data.test.y[:, None] + 2}, data)
    assert found.test["mae"].value == pytest.approx(2)
    assert found.test["rmse"].low == pytest.approx(2)
    assert found.validation["rmse"] == pytest.approx(3)
    assert found.guessing["rmse"] == pytest.approx(data.test.y.std(), rel=0.01)
    assert found.confusion == []


def test_measures_survive_json(few_digits):
    logits = np.eye(10)[few_digits.test.y]
    found = measure(Fixed(np.eye(10)[few_digits.validation.y]), {"": logits}, few_digits)
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert Measures.from_dict(values) == found
    for change in ({"test": {"x": 3}}, {"validation": {}}, {"confusion": [[1, 2]]}, {"guessing": None}):
        with pytest.raises(ValueError, match=r"form|wrong"):
            Measures.from_dict({**values, **change})
