import builtins
import sys

import keras
import numpy as np
import pytest
from test_report import Page

import bnzoo
from bnzoo.tools import health

L = keras.layers
DATA = np.random.default_rng(0).normal(2, 3, size=(40, 8, 8, 1)).astype("float32"), np.arange(40) % 10


@pytest.fixture(scope="module")
def found():
    return health(bnzoo.ResNetCifar(14, filters=4, input_shape=(8, 8, 1), classes=10), DATA)


@pytest.mark.slow
def test_one_file_that_needs_nothing_else(found, tmp_path):
    found.report(tmp_path / "health.html")
    text = (tmp_path / "health.html").read_text("utf-8")
    page = Page(text)
    assert [path.name for path in tmp_path.iterdir()] == ["health.html"]
    assert page.outside == []
    assert "@import" not in text
    assert page.tags.count("svg") == 4
    assert page.tags.count("tr") == 1 + len(found.norms)
    assert found.verdict in text
    for finding in found.findings:
        assert finding.sentence.split(":")[0] in text
    found.report(tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text("utf-8") == text


def test_names_are_escaped(tmp_path):
    model = keras.Sequential([keras.Input((4,)), L.BatchNormalization(name="norm>b")])
    health(model, np.ones((5, 4))).report(tmp_path / "health.html")
    text = (tmp_path / "health.html").read_text("utf-8")
    assert "norm&gt;b" in text
    assert "norm>b" not in text


@pytest.mark.parametrize("norm", ["layer", None, "batch"])
def test_pages_of_what_was_not_measured_and_of_what_is_not_finite(norm, tmp_path):
    model = bnzoo.MLP(depth=2, width=8, norm=norm, input_shape=(8, 8, 1), classes=10)
    kernel = model.get_layer("logits").kernel
    kernel.assign(kernel * np.nan)
    if norm == "batch":
        next(layer for layer in model.layers if isinstance(layer, L.BatchNormalization)).moving_mean.assign(
            [np.nan] * 8
        )
    health(model, DATA[0] if norm == "layer" else DATA).report(tmp_path / "health.html")
    pictures = Page((tmp_path / "health.html").read_text("utf-8")).tags.count("svg")
    assert pictures == {"layer": 2, None: 1, "batch": 4}[norm]


def test_without_matplotlib_it_says_what_to_install(found, monkeypatch, tmp_path):
    usual = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("bnzoo.reports"):
            raise ImportError("No module named 'matplotlib'")
        return usual(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "bnzoo.reports.health", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'bnzoo\[tune\]'"):
        found.report(tmp_path / "health.html")
    assert list(tmp_path.iterdir()) == []
