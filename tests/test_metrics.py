"""Metrics, compared with scikit-learn's and SciPy's."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as peer

from bnzoo.metrics import (
    ACCURACY,
    MEAN_AVERAGE_PRECISION,
    METRICS,
    R2,
    confusion_matrix,
    measured,
    metric_for,
    metric_labelled,
    metric_named,
    metric_of,
    metrics_for,
    metrics_of_targets,
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
# several labels an example: the last one is rare, with ties
LABELS = (RANDOM.random((200, 4)) < (0.5, 0.3, 0.9, 0.05)).astype("int32")
LABEL_LOGITS = np.round(RANDOM.normal(size=(200, 4)) + 2 * LABELS - 1, 1)
LABEL_PROBABILITIES = 1 / (1 + np.exp(-LABEL_LOGITS))
TWO_TARGETS = np.stack([TARGETS, TARGETS[::-1] / 1e3], axis=1)
TWO_NUMBERS = np.stack([NUMBERS, NUMBERS[::-1] / 1e3], axis=1)


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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mean_average_precision", lambda: peer.average_precision_score(LABELS, LABEL_PROBABILITIES)),
        ("macro_f1", lambda: peer.f1_score(LABELS, LABEL_LOGITS >= 0, average="macro")),
        ("auc", lambda: peer.roc_auc_score(LABELS, LABEL_PROBABILITIES)),
        ("all_labels", lambda: peer.accuracy_score(LABELS, LABEL_LOGITS >= 0)),
    ],
)
def test_a_metric_of_labels(name, expected):
    assert name in metrics_for("multilabel", 4)
    assert metric_named(name).of({"label_logits": LABEL_LOGITS}, LABELS) == pytest.approx(expected(), abs=1e-12)


def test_a_label_that_no_example_has_is_left_out():
    absent, scores = np.pad(LABELS, ((0, 0), (0, 1))), np.pad(LABEL_LOGITS - 5, ((0, 0), (0, 1)), constant_values=-1)
    for metric in metrics_for("multilabel", 4).values():
        if metric.name != "all_labels":
            assert metric.of({"": scores}, absent) == metric.of({"": scores[:, :4]}, LABELS)


def test_the_metrics_of_several_targets():
    assert metric_named("r2").compute(TWO_NUMBERS, TWO_TARGETS) == pytest.approx(
        peer.r2_score(TWO_TARGETS, TWO_NUMBERS)
    )
    found = {m.label: m.compute(TWO_NUMBERS, TWO_TARGETS) for m in metrics_of_targets(("a", "b:c")).values()}
    rmse = peer.root_mean_squared_error(TWO_TARGETS, TWO_NUMBERS, multioutput="raw_values")
    mae = peer.mean_absolute_error(TWO_TARGETS, TWO_NUMBERS, multioutput="raw_values")
    expected = {"RMSE of a": rmse[0], "MAE of a": mae[0], "RMSE of b:c": rmse[1], "MAE of b:c": mae[1]}
    assert found == pytest.approx(expected)
    assert metric_named("rmse:b:c").label == "RMSE of b:c"


KINDS = [(metric, task) for metric in METRICS for task in metric.tasks]


@pytest.mark.parametrize(("metric", "task"), KINDS, ids=lambda part: getattr(part, "name", part))
def test_a_weight_is_a_number_of_copies(metric, task):
    predictions, truth = {
        "classification": (PROBABILITIES, CLASSES),
        "multilabel": (LABEL_PROBABILITIES, LABELS),
        "regression": (NUMBERS, TARGETS),
    }[task]
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
    found = measured(metrics_for("regression", 1), NUMBERS, TARGETS)
    assert found == measured(metrics_for("regression", 1), NUMBERS, TARGETS), "the seed is fixed"
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
    metrics = metrics_for("classification", 2)
    found = measured(metrics, np.full((5, 2), 0.5), np.zeros(5, int))
    assert found["auc"].text(metrics["auc"]) == "nan (95 % interval nan to nan)"


def test_the_data_decides_which_metric_is_used():
    assert metric_for("classification") is metric_of(np.array([0, 2])) is ACCURACY
    assert metric_for("multilabel") is metric_of(np.array([[0, 1]])) is MEAN_AVERAGE_PRECISION
    assert metric_for("regression") is metric_of(np.array([0.5])) is R2
    assert "top5" not in metrics_for("classification", 5)
    assert set(metrics_for("regression", 1)) == {"r2", "rmse", "mae"}
    assert set(metrics_for("regression", 2)) == {"r2"}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_has_one_name_and_one_label(metric):
    assert metric_named(metric.name) is metric_labelled(metric.label) is metric


def test_values_as_text():
    assert (ACCURACY.text(0.98765), ACCURACY.short_text(0.98765)) == ("98.77%", "98.8%")
    assert (R2.text(-0.12345), R2.short_text(-0.12345)) == ("-0.1235", "-0.12")
    found = measured({"accuracy": ACCURACY}, PROBABILITIES, CLASSES)["accuracy"]
    assert found.text(ACCURACY).startswith(f"{found.value:.2%} (95 % interval {found.low:.2%} to ")
