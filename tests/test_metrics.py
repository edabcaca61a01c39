"""Metrics, compared with scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, r2_score

from bnzoo.metrics import ACCURACY, METRICS, R2, metric_for, metric_labelled, metric_named, metric_of

RANDOM = np.random.default_rng(0)


def test_accuracy():
    logits, classes = RANDOM.normal(size=(50, 3)), RANDOM.integers(0, 3, 50)
    outputs = {"logits": logits, "probabilities": -logits}
    assert ACCURACY.of(outputs, classes) == accuracy_score(classes, logits.argmax(-1)), "the first output decides"


def test_r2():
    targets = RANDOM.normal(1e4, 2, 50).astype("float32")
    predictions = targets + RANDOM.normal(size=50).astype("float32")
    assert R2.compute(predictions[:, None], targets) == pytest.approx(r2_score(targets, predictions), abs=1e-6)


def test_the_data_decides_which_metric_is_used():
    assert metric_for(3) is metric_of(np.array([0, 2])) is ACCURACY
    assert metric_for(0) is metric_of(np.array([0.5])) is R2


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_has_one_name_and_one_label(metric):
    assert metric_named(metric.name) is metric_labelled(metric.label) is metric


def test_values_as_text():
    assert (ACCURACY.text(0.98765), ACCURACY.short_text(0.98765)) == ("98.77%", "98.8%")
    assert (R2.text(-0.12345), R2.short_text(-0.12345)) == ("-0.1235", "-0.12")
