"""Folding of keras.applications' networks with random weights, compared with the table in the documentation."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest
from small_models import batch_norms, outputs_of

from bnzoo.tools import fold_batch_norm

GUIDE = Path(__file__).parents[2] / "docs" / "batch_norm_tools.md"
ROW = re.compile(r"^\| `keras\.applications\.(\w+)` \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
TABLE = {name: tuple(map(int, counts)) for name, *counts in ROW.findall(GUIDE.read_text())}


def test_the_table_has_every_network():
    assert set(TABLE) == {
        "ResNet50",
        "ResNet50V2",
        "DenseNet121",
        "MobileNetV2",
        "EfficientNetB0",
        "InceptionV3",
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_networks_of_keras_applications(name):
    builder = getattr(keras.applications, name)
    model = builder(weights=None, input_shape=(96, 96, 3), classes=10, classifier_activation=None)
    random = np.random.default_rng(0)
    for norm in batch_norms(model):
        norm.set_weights([random.uniform(0.5, 1.5, w.shape) for w in norm.get_weights()])
    folded, report = fold_batch_norm(model)
    images = random.uniform(0, 255, (2, 96, 96, 3)).astype("float32")
    (expected,), (got,) = outputs_of(model, images), outputs_of(folded, images)
    assert expected.std() > 1e-3 * np.abs(expected).max(), "the images tell something"
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    # of the batch norms: all, folded, kept
    assert TABLE[name] == (len(batch_norms(model)), len(report.folded), len(report.kept))
    assert len(report.kept) == len(batch_norms(folded))
