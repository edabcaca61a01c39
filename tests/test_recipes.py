"""Every recipe that searches, with few examples and few trials."""

import importlib

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import untrained
from tiers import tiered

from bnzoo import data, tuning

RECIPES = ["densenet_lr_depth", "mlp_lr_depth", "norm_placement", "resnet_lr_depth", "vit_lr_depth"]


@pytest.fixture
def hurried(request, monkeypatch, verified_here):
    """Shorten studies to two trials, or the given number, of one epoch, and accept models that have not learned."""
    trials = getattr(request, "param", 2)
    run, init = tuning.Study.run, tuning.Study.__init__

    def one_epoch(study, *arguments, **options):
        init(study, *arguments, **{**options, "epochs": 1, "seeds": 1})

    monkeypatch.setattr(tuning.Study, "__init__", one_epoch)
    monkeypatch.setattr(tuning.Study, "run", lambda study: run(study, lambda study, event: None, trials=trials))
    monkeypatch.setattr("bnzoo.tuning.trial.STALLED", 10)


@pytest.mark.parametrize("recipe", tiered(RECIPES, slow=("norm_placement",)))
def test_a_recipe_goes_to_its_end(hurried, few_digits, tmp_path, capsys, recipe):
    main = importlib.import_module(f"recipes.{recipe}").main
    main(few_digits.name, str(tmp_path / "study"))
    out = capsys.readouterr().out
    assert "best learning rate" in out
    assert "Best: depth" in out
    assert "test accuracy" in out.splitlines()[-1]
    assert (tmp_path / "study" / "report.html").exists()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_says_what_it_found_though_nothing_is_trained(monkeypatch, few_digits, tmp_path, capsys, recipe):
    run = tuning.Study.run
    untrained.leave_out_training(monkeypatch)
    monkeypatch.setattr(tuning.Study, "run", lambda study: run(study, untrained.quiet, trials=2))
    monkeypatch.setattr(tuning.Study, "report", lambda study: "the page")
    monkeypatch.setattr(tuning.Study, "export", lambda study: "the artefact")
    importlib.import_module(f"recipes.{recipe}").main(few_digits.name, str(tmp_path / "study"))
    out = capsys.readouterr().out
    assert "best learning rate" in out
    assert "Best: depth" in out
    assert out.endswith("report: the page\nthe artefact\n")


@pytest.mark.slow
@pytest.mark.parametrize("hurried", [7], indirect=True)  # low rates come last
def test_a_table_with_numbers_to_predict_is_a_regression(hurried, tmp_path, capsys):
    random = np.random.default_rng(0)
    rooms, gas = random.integers(1, 9, 200), random.random(200) < 0.5
    price = 1000.0 * rooms + 500.0 * gas + random.normal(size=200)
    path = tmp_path / "houses.csv"
    pd.DataFrame({"rooms": rooms, "heating": np.where(gas, "gas", "oil"), "price": price}).to_csv(path, index=False)
    importlib.import_module("recipes.mlp_lr_depth").main(str(path), str(tmp_path / "study"), "price")
    assert "test R²" in capsys.readouterr().out.splitlines()[-1]

    artefact = tuning.Artefact.load(tmp_path / "study" / "export.json")
    assert artefact.metric == "R²"
    encoder = data.TableEncoder.load(artefact.encoder)
    assert encoder.features == ["rooms", "heating=gas", "heating=oil"]
    serve = tf.saved_model.load(artefact.path).signatures
    asked = {"rooms": tf.constant([3.0, np.nan], tf.float64), "heating": tf.constant(["oil", "coal"])}
    rows = [{"rooms": 3, "heating": "oil"}, {"rooms": None, "heating": "coal"}]
    expected = serve["serve"](features=tf.constant(encoder.encode(rows)))
    for name, values in serve["serve_rows"](**asked).items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-5)
