import keras
import numpy as np
import pandas as pd
import pytest
import test_cli

from bnzoo import tuning
from bnzoo.tuning import rising_rates

bnzoo = test_cli.bnzoo


@pytest.fixture
def hurried(monkeypatch):
    """Tests of 20 steps in one order."""
    monkeypatch.setattr(rising_rates.each_test, "__defaults__", (np.geomspace(1e-4, 10, 20), 1, 0))
    monkeypatch.setitem(rising_rates.rate_test.__kwdefaults__, "steps", 20)
    monkeypatch.setitem(rising_rates.rate_test.__kwdefaults__, "orders", 1)


def save_model(path, compiled=True):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((13,)), keras.layers.BatchNormalization(), keras.layers.Dense(3)])
    if compiled:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 9)), loss, jit_compile=False)
    model.save(path)


@pytest.mark.slow
def test_a_family(bnzoo, hurried):
    options = ["--data", "wine", "--depth", "1,2", "--norm", "batch", "--option", "width=4", "--output", "rates.csv"]
    status, out, err = bnzoo("rate", "mlp", *options)
    assert status == 0, err
    first, second, written = out.splitlines()
    assert first.startswith("mlp, depth 1, norm batch: ")
    assert second.startswith("mlp, depth 2, norm batch: ")
    assert written == "rates.csv"
    table = pd.read_csv("rates.csv")
    assert list(table) == ["network", "rate", "loss", "smoothed", "outcome"]
    assert table.groupby("network").size().tolist() == [20, 20]


@pytest.mark.slow
@pytest.mark.parametrize(("compiled", "options"), [(True, []), (True, ["--optimizer", "adamw"]), (False, [])])
def test_a_file(bnzoo, hurried, tmp_path, compiled, options):
    save_model(tmp_path / "IN.keras", compiled)
    before = (tmp_path / "IN.keras").read_bytes()
    status, out, err = bnzoo("rate", "IN.keras", "--data", "wine", "--output", "rates.png", *options)
    assert (status, err) == (0, "")
    sentence, written = out.splitlines()
    assert ": rates from " in sentence
    assert written == "rates.png"
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "IN.keras").read_bytes() == before


@pytest.fixture
def asked(bnzoo, monkeypatch):
    """A function that returns the model or space, the data and the options with which `bnzoo rate` begins a test."""
    found = []

    def interrupted(model, data, *fixed, **options):
        found.append((model, data, options))
        raise KeyboardInterrupt

    def ask(*words):
        status, _, err = bnzoo("rate", *words)
        assert status == 130, err
        return found.pop()

    monkeypatch.setattr(tuning, "rate_test", interrupted)
    monkeypatch.setattr(rising_rates, "each_test", interrupted)
    return ask


def test_the_options_reach_the_test_of_a_file(asked, tmp_path):
    save_model(tmp_path / "IN.keras")
    model, _, options = asked("IN.keras", "--data", "wine")
    assert type(model.optimizer) is keras.optimizers.SGD
    assert options == {"batch_size": None, "seed": 0}
    words = ("--optimizer", "muon", "--momentum", 0.5, "--weight-decay", 0.01, "--batch-size", 8, "--seed", 3)
    model, _, options = asked("IN.keras", "--data", "wine", *words)
    found = model.optimizer.get_config()
    assert type(model.optimizer).__name__ == "Muon"
    assert (found["momentum"], found["weight_decay"]) == (0.5, 0.01)
    assert options == {"batch_size": 8, "seed": 3}


def test_the_options_reach_the_test_of_a_family(asked):
    words = ("--depth", "1,3", "--norm", "layer", "--activation", "silu", "--option", "width=4")
    words += ("--optimizer", "muon", "--momentum", 0.5, "--weight-decay", 0.01, "--batch-size", 8, "--seed", 3)
    space, examples, options = asked("mlp", "--data", "digits", "--augment", "flip,crop", *words)
    config = space.get_config()
    expected = {"depths": [1, 3], "norms": ["layer"], "activation": "silu", "width": 4, "optimizer": "muon"}
    expected |= {"momentum": 0.5, "weight_decay": 0.01, "batch_size": 8}
    assert {name: config[name] for name in expected} == expected
    assert options == {"seed": 3}
    assert tuple(examples.augment) == ("flip", "crop")


def test_no_usable_rate_is_status_1(bnzoo, monkeypatch):
    never = tuning.RateTest("mlp", np.geomspace(1e-6, 10, 20), np.ones((1, 20)), {"depth": 2})
    monkeypatch.setattr(rising_rates, "each_test", lambda *arguments, **options: iter([never]))
    status, out, err = bnzoo("rate", "mlp", "--data", "wine")
    assert (status, err) == (1, "")
    assert out == "mlp: no rate from 1e-06 to 10 lowers the loss, which is 1 at the start\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnt"], "Unknown family: 'resnt'. Did you mean 'resnet'?"),
        (["none.keras"], "There is no file none.keras"),
        (["IN.keras", "--depth", "8"], "--depth is for a family of networks, but IN.keras is a file. Leave it out"),
        (["IN.keras", "--data", "digits"], "The examples of digits have the shape (8, 8, 1)"),
        (["IN.keras", "--data", "wine", "--momentum", "0.5"], "`momentum` and `weight_decay` need `optimizer`"),
        (["mlp", "--output", "rates.pdf"], "--output must be a file name that ends in .png, .svg or .csv"),
        (["mlp", "--output", "nowhere/rates.png"], "The folder nowhere does not exist"),
        (["mlp", "--depth", "x"], "--depth must be whole numbers separated by commas: 8,14,20. Received: 'x'"),
        (["resnet", "--data", "wine"], "needs images"),
        (["resnet", "--branch-scale", "depth"], "`branch_scale` must be '1/sqrt(depth)', '1/depth', a number above 0"),
        (["mlp", "--placement", "pre,post"], "one value of placement. Received: pre, post. Run the command once for"),
        (["mlp", "--data", "wine", "--batch-size", "0"], "`batch_size` must be"),
        (["mlp", "--data", "wine", "--seed", "-1"], "`seed` must be an integer from 0 to 2**31 - 1. Received: seed=-1"),
    ],
)
def test_mistakes(bnzoo, tmp_path, arguments, message):
    save_model(tmp_path / "IN.keras")
    status, out, err = bnzoo("rate", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("bnzoo: ")
    assert err.count("\n") == 1
