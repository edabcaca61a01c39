"""Metrics, compared with scikit-learn's and SciPy's."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as peer

from bnzoo.metrics import (
    ACCURACY,
    METRICS,
    R2,
    confusion_matrix,
    measured,
    metric_for,
    metric_labelled,
    metric_named,
    metric_of,
    metrics_for,
    softmax,
    wilson,
)

RANDOM = np.random.default_rng(0)
CLASSES = RANDOM.integers(0, 7, 300)
# better than guessing, with ties; the class 6 is never predicted
LOGITS = np.round(RANDOM.normal(size=(300, 7)) + 1.5 * np.eye(7)[CLASSES], 1) - 20 * np.eye(7)[6]
PROBABILITIES = softmax(LOGITS)
PREDICTED = LOGITS.argmax(-1)
TARGETS = RANDOM.normal(1e4, 2, 50).astype("float32")
NUMBERS = TARGETS + RANDOM.normal(size=50).astype("float32")


def calibration_error(probabilities, classes):
    confidence, right = probabilities.max(-1), probabilities.argmax(-1) == classes
    error = 0.0
    for low in np.arange(15) / 15:
        inside = (confidence >= low) & (confidence < low + 1 / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", lambda: peer.accuracy_score(CLASSES, PREDICTED)),
        ("balanced_accuracy", lambda: peer.balanced_accuracy_score(CLASSES, PREDICTED)),
        ("macro_f1", lambda: peer.f1_score(CLASSES, PREDICTED, average="macro")),
        ("top5", lambda: peer.top_k_accuracy_score(CLASSES, PROBABILITIES, k=5)),
        ("auc", lambda: peer.roc_auc_score(CLASSES, PROBABILITIES, multi_class="ovr")),
        ("calibration_error", lambda: calibration_error(PROBABILITIES, CLASSES)),
    ],
)
def test_a_metric_of_classes(name, expected):
    assert metric_named(name).of({"logits": LOGITS}, CLASSES) == pytest.approx(expected(), abs=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("r2", lambda: peer.r2_score(TARGETS, NUMBERS)),
        ("rmse", lambda: peer.root_mean_squared_error(TARGETS, NUMBERS)),
        ("mae", lambda: peer.mean_absolute_error(TARGETS, NUMBERS)),
    ],
)
def test_a_metric_of_numbers(name, expected):
    assert metric_named(name).compute(NUMBERS[:, None], TARGETS) == pytest.approx(expected(), abs=1e-6)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_weight_is_a_number_of_copies(metric):
    predictions, truth = (NUMBERS, TARGETS) if 0 in metric.classes else (PROBABILITIES, CLASSES)
    weights = RANDOM.integers(0, 3, len(truth))
    copies = np.repeat(np.arange(len(truth)), weights)
    assert metric.prepare(predictions, truth)(weights.astype(float)) == pytest.approx(
        metric.compute(predictions[copies], truth[copies]), abs=1e-9
    )


def test_two_classes_have_one_area():
    scores = RANDOM.normal(size=(60, 2))
    truth = RANDOM.integers(0, 2, 60)
    expected = peer.roc_auc_score(truth, softmax(scores)[:, 1])
    assert metric_named("auc").of({"logits": scores}, truth) == pytest.approx(expected)


def test_probabilities_are_used_as_they_are():
    outputs = {"logits": LOGITS, "probabilities": PROBABILITIES[:, ::-1]}
    assert ACCURACY.of(outputs, CLASSES) == peer.accuracy_score(CLASSES, PROBABILITIES[:, ::-1].argmax(-1))


def test_the_confusion_matrix():
    assert (confusion_matrix(PROBABILITIES, CLASSES) == peer.confusion_matrix(CLASSES, PREDICTED)).all()


@pytest.mark.parametrize(("right", "examples"), [(0, 10), (7, 10), (360, 360), (351, 360)])
def test_the_interval_of_a_share(right, examples):
    expected = stats.binomtest(right, examples).proportion_ci(method="wilson")
    assert wilson(right / examples, examples) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_intervals_of_the_bootstrap():
    """SciPy draws other samples, so that the ends agree within the error of 1,000 samples."""
    found = measured(metrics_for(0), NUMBERS, TARGETS)
    assert found == measured(metrics_for(0), NUMBERS, TARGETS), "the seed is fixed"
    peers = stats.bootstrap(
        (NUMBERS, TARGETS),
        lambda a, b, axis=-1: np.abs(a.astype(float) - b).mean(axis),
        paired=True, method="percentile", n_resamples=4000, rng=1,
    ).confidence_interval  # fmt: skip
    width = peers.high - peers.low
    assert (found["mae"].low, found["mae"].high) == pytest.approx(tuple(peers), abs=0.1 * width)
    assert found["r2"].low < found["r2"].value < found["r2"].high


@pytest.mark.filterwarnings("error")
def test_a_metric_that_the_examples_do_not_have():
    found = measured(metrics_for(2), np.full((5, 2), 0.5), np.zeros(5, int))
    assert found["auc"].text(metrics_for(2)["auc"]) == "nan (95 % interval nan to nan)"


def test_the_data_decides_which_metric_is_used():
    assert metric_for(3) is metric_of(np.array([0, 2])) is ACCURACY
    assert metric_for(0) is metric_of(np.array([0.5])) is R2
    assert "top5" not in metrics_for(5)
    assert set(metrics_for(0)) == {"r2", "rmse", "mae"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_has_one_name_and_one_label(metric):
    assert metric_named(metric.name) is metric_labelled(metric.label) is metric


def test_values_as_text():
    assert (ACCURACY.text(0.98765), ACCURACY.short_text(0.98765)) == ("98.77%", "98.8%")
    assert (R2.text(-0.12345), R2.short_text(-0.12345)) == ("-0.1235", "-0.12")
    found = measured({"accuracy": ACCURACY}, PROBABILITIES, CLASSES)["accuracy"]
    assert found.text(ACCURACY).startswith(f"{found.value:.2%} (95 % interval {found.low:.2%} to ")
