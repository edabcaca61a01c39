"""The cost of the networks of a study, and the configurations that are worth it."""

import math

import keras
import numpy as np
import pytest
from planted import planted

import bnzoo
from bnzoo.metrics import metric_named
from bnzoo.metrics.pareto import on_front
from bnzoo.tuning.costs import Latencies, Latency, cost_text, counts_of
from bnzoo.tuning.front import front
from bnzoo.tuning.objective import Objective
from bnzoo.tuning.results import Results
from bnzoo.tuning.verdict import verdict

DEPTHS = (8, 14, 20)


def counts(values):
    """Return parameters and multiplications that rise with the depth; a norm has parameters only."""
    return 100 * values["depth"] + (values["norm"] == "batch"), 1000 * values["depth"] ** 2


def near(depth, norm, rate, seed):
    """Return losses with accuracies of 97.5 %, 97.8 % and 98 % at the depths; a norm is worth another 0.1 %."""
    return {8: 0.125, 14: 0.11, 20: 0.1}[depth] + 0.005 * (norm == "none") + abs(math.log10(rate) + 1) + seed / 1000


def dominated(costs, scores, point):
    """Return whether another point is at least as good as a point in both, and better in one of them."""
    return any(
        costs[other] <= costs[point]
        and scores[other] <= scores[point]
        and (costs[other] < costs[point] or scores[other] < scores[point])
        for other in range(len(costs))
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_front_is_that_of_a_comparison_of_all_pairs(seed):
    """Few different values, so that costs and scores are equal too."""
    random = np.random.default_rng(seed)
    size = random.integers(1, 40)
    costs, scores = random.integers(0, 8, size).astype(float), random.integers(0, 8, size) / 8
    expected = [not dominated(costs, scores, point) for point in range(size)]
    assert on_front(costs, scores).tolist() == expected


def test_the_front_has_the_costs_and_the_range_of_the_seeds():
    results = planted(near, DEPTHS, seeds=3, counts=counts)
    found = front(results, "multiplications")
    assert found["depth"].tolist() == list(DEPTHS)
    assert set(found["norm"]) == {"batch"}
    assert found["multiplications"].tolist() == [64_000, 196_000, 400_000]
    np.testing.assert_allclose(found["score"], [0.126, 0.111, 0.101])
    np.testing.assert_allclose(found["score_low"], [0.125, 0.11, 0.1])
    np.testing.assert_allclose(found["accuracy_high"], [0.975, 0.978, 0.98])
    np.testing.assert_allclose(found["accuracy_low"], found["accuracy_high"] - 0.0004)
    assert front(results, "parameters")["norm"].tolist() == ["none", "batch"] * 3
    worse = planted(lambda *args: 1 / near(*args) / 100, DEPTHS, rates=(0.1,), counts=counts)
    assert front(worse, "multiplications")["depth"].tolist() == [8], "the shallowest is the best"


def test_the_front_against_a_latency():
    """Depth 14 is the slowest: it is not on the front, although depth 20 has more multiplications."""
    results = planted(near, DEPTHS, counts=counts)
    with pytest.raises(ValueError, match=r"No latency has been measured. Call `study.measure_latency\(\)` first"):
        front(results, "latency")
    networks = [{"depth": depth, "norm": norm} for depth in DEPTHS for norm in ("batch", "none")]
    measured = {"saved_model": [1.0, 1.0, 3.0, 3.0, 2.0, 2.0], "onnx": [1.0, 0.5, 3.0, math.nan, 4.0, 4.0]}
    formats = {
        name: [Latency(network, ms) for network, ms in zip(networks, times, strict=True) if ms == ms]
        for name, times in measured.items()
    }
    results = Results(results.trials, results.definition, latencies=Latencies(formats))
    assert front(results, "saved_model_ms")["depth"].tolist() == [8, 20]
    last = front(results, "latency")
    assert last["onnx_ms"].tolist() == [0.5, 1.0, 3.0, 4.0]
    assert len(results.networks("onnx_ms")) == 5, "a network without a latency is left out"
    assert list(results.table().columns[-4:]) == ["parameters", "multiplications", "saved_model_ms", "onnx_ms"]
    assert results.frame()["onnx_ms"].isna().sum() == 3
    with pytest.raises(ValueError, match="against"):
        front(results, "time")


def test_the_smallest_network_that_is_almost_the_best():
    sentence = verdict(planted(near, DEPTHS, counts=counts)).smallest
    assert sentence == (
        "The smallest network within half a point of the best: depth 8, norm batch, learning rate 0.1: accuracy 97.50% "
        "with 64 k multiplications, 801 parameters, instead of accuracy 98.00% with 400 k multiplications, 2 k "
        "parameters."
    )
    far = planted(lambda d, *args: near(d, *args) + (d < 20) * 0.05, DEPTHS, counts=counts)
    assert verdict(far).smallest == "No network with fewer multiplications is within half a point of the best."
    assert verdict(planted(near, (8,), counts=counts)).smallest == "", "all cost the same"
    assert verdict(planted(near, DEPTHS)).smallest == "", "an earlier version did not count"


@pytest.mark.parametrize(("name", "margin"), [("rmse", "1 %"), ("r2", "half a point")])
def test_errors_with_a_unit_are_compared_relatively(name, margin):
    results = planted(lambda d, *args: {8: 50.4, 14: 50.6, 20: 50.0}[d] + near(20, *args), DEPTHS, counts=counts)
    results = Results(results.trials, results.definition, objective=Objective(100.0, 100.0, metric_named(name)))
    sentence = verdict(results).smallest
    assert margin in sentence
    assert sentence.startswith("The smallest network within 1 % of the best: depth 8") == (name == "rmse")


def test_the_counts_of_a_network_of_a_paper():
    """He et al. 2016: ResNet-20 has 0.27 million parameters; the moving statistics are 2 x 688 more."""
    model = bnzoo.create_model("resnet20_cifar")
    parameters, multiplications = counts_of(model)
    assert parameters == model.count_params() == 269_722 + 2 * 688
    assert multiplications == bnzoo.model_card("resnet20_cifar").macs
    unknown = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3)])
    assert counts_of(unknown) == (20, None)


def test_counts_as_text():
    texts = {77: "77", 999.4: "999", 272_474: "272 k", 999_950: "1 M", 40_800_000: "40.8 M", 4_089_184_256: "4.09 G"}
    assert {count: cost_text("parameters", count) for count in texts} == texts
    assert cost_text("saved_model_ms", 1.314) == "1.31"
    assert cost_text("onnx_ms", math.nan) == ""


@pytest.mark.parametrize(
    "damaged",
    [3, {"onnx": 3}, {"onnx": [{}]}, {"onnx": [{"network": {"depth": []}, "milliseconds": 1.0}]},
     {"onnx": [{"network": {"depth": 8}, "milliseconds": "x"}]}],
)  # fmt: skip
def test_damaged_latencies_are_refused(damaged):
    with pytest.raises(ValueError, match="its latencies are damaged"):
        Latencies.from_dict(damaged)
