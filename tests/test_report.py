import html
import html.parser
import json
import math
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, Rectangle
from tensorboard.backend.event_processing import event_accumulator
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

sys.path.insert(0, str(Path(__file__).parent / "tuning"))
from planted import planted

from bnzoo import reports
from bnzoo.metrics import Measured
from bnzoo.reports import costs, figures, page, scaling, statistics, tables, timeline
from bnzoo.reports.confusion import caption, confusion
from bnzoo.reports.layout import Layout
from bnzoo.training.artefact import Artefact
from bnzoo.training.measures import Measures
from bnzoo.tuning.costs import Latencies, Latency
from bnzoo.tuning.planning import StudyPlan
from bnzoo.tuning.results import Results
from bnzoo.tuning.verdict import verdict

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


def scores(depth, norm, rate, seed):
    if norm == "none" and rate == 1.0:
        return "boom" if depth == 8 else math.inf
    if (depth, norm, rate) == (14, "batch", 1.0):
        return ("pruned", 1.5)
    return 0.1 + rate + depth / 100 + seed / 50


def lagging(depth, norm, rate, seed):
    """Return moving losses that are worst at the lowest rate; without a norm there are none."""
    score = scores(depth, norm, rate, seed)
    return score if norm == "none" else 3.0 - rate


def counts(values):
    return values["depth"], 1000 * values["depth"]


class Page(html.parser.HTMLParser):
    """A parser that counts elements, and collects references to other files."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.outside, self.heads = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href") and not value.startswith(("#", "data:")):
                self.outside.append(value)

    def handle_data(self, data):
        if self.tags and self.tags[-1] == "h2" and data.strip():
            self.heads.append(data.strip())


def write(results, folder, **options):
    reports.write_report(results, verdict(results), folder / "report.html", **options)
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    results = planted(scores, seeds=2, moving=lagging, workers=2, finished=False, counts=counts)
    return folder, results, write(results, folder, command="bnzoo tune resnet --seeds 2")


def test_one_file_that_needs_nothing_else(report):
    _, results, text = report
    page = Page(text)
    assert page.outside == []
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert page.tags.count("tr") == 1 + 4 + 1 + len(results) + 1 + len(results.not_tried)
    identifiers = re.findall(r'<clipPath id="([^"]+)"', text)
    assert len(set(identifiers)) == len(identifiers), "a picture would be cut by another's frame"


def test_what_it_shows(report):
    folder, _, text = report
    heads = [
        "Best and largest usable learning rates", "Learning rate and depth", "Score against learning rate",
        "Learning rates against depth", "Accuracy against cost", "Learning curves",
        "Moving and recalibrated statistics", "Timeline",
        "All trials", "Trials that were not tried", "How to repeat the study",
    ]  # fmt: skip
    assert [head for head in Page(text).heads if head] == heads
    assert "bnzoo tune resnet --seeds 2" in text
    for name in ("heatmap", "learning_rate", "rates", "costs", "learning_curves", "statistics", "timeline"):
        picture = (folder / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 10_000


def test_the_picture_of_the_costs():
    """Without depth 14, which is slower and worse than depth 20, the line has the front; labels name its networks."""
    results = planted(
        lambda d, n, r, s: {8: 0.3, 14: 0.5, 20: 0.2}[d] + 0.1 * (n == "none") + s / 50,
        depths=(8, 14, 20),
        rates=(0.1,),
        seeds=2,
        counts=counts,
    )
    networks = [{"depth": depth, "norm": norm} for norm in ("batch", "none") for depth in (8, 14, 20)]
    times = [Latency(network, ms) for network, ms in zip(networks, [1.0, 3.0, 2.0] * 2, strict=True)]
    results = Results(results.trials, results.definition, latencies=Latencies({"onnx": times}))
    latency, counted = costs.metric_against_cost(results).axes
    assert (latency.get_xlabel(), counted.get_xlabel()) == ("latency of onnx, ms", "multiplications")
    for axes, (left, right) in ((latency, (1.0, 2.0)), (counted, (8000, 20_000))):
        np.testing.assert_allclose(axes.lines[0].get_xdata(), [left, right])
        np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.938, 0.958])
        labels = {text.get_text() for text in axes.texts}
        assert labels == {f"{depth} {norm}" for depth in (8, 14, 20) for norm in ("batch", "none")}
        bars = [bar[:, 1] for container in axes.containers for bar in container.lines[2][0].get_segments()]
        ends = [(mean - 0.002, mean + 0.002) for loss in (0.3, 0.5, 0.2, 0.4, 0.6, 0.3) for mean in [0.998 - loss / 5]]
        np.testing.assert_allclose(sorted(map(tuple, bars)), sorted(ends), err_msg="from the worst to the best seed")
    assert not costs.shown(planted(scores))


def test_the_table_of_trials_has_the_rate_times_the_decay():
    by_decay = planted(scores, norms=("batch", None), rates=(0.1,), more={"weight_decay": (0.0, 0.5)})
    table = tables.trials(by_decay)
    place, norm, decay = (table.head.index(name) for name in ("rate x decay", "norm", "weight decay"))
    seen = {(row.cells[norm], row.cells[decay]): row.cells[place] for row in table.rows}
    assert (seen["batch", "0.5"], seen["none", "0.5"]) == ("0.05", "")
    assert "rate x decay" not in tables.trials(planted(scores, norms=(None,))).head


def test_the_labels_of_the_costs_name_the_axes_that_differ():
    axes = {"optimizer": ("sgd", "adamw"), "schedule": ("linear",)}
    results = planted(scores, norms=("batch",), counts=counts, more=axes)
    [panel] = costs.metric_against_cost(results).axes
    expected = {f"{depth} batch {optimizer}" for depth in (8, 14) for optimizer in ("sgd", "adamw")}
    assert {text.get_text() for text in panel.texts} == expected
    assert "labelled with its depth, norm and optimizer. " in costs.caption(results)


def test_it_says_what_was_found(report):
    _, results, text = report
    finding = verdict(results)
    assert finding.sentence in text
    assert finding.smallest
    assert finding.smallest in text
    assert "<td>14 k</td>" in text
    for warning in finding.warnings:
        assert html.escape(warning) in text
    for count in ("2 failed", "1 diverged", "2 pruned", "1 not tried"):
        assert count in text


def test_the_plan_and_the_model_of_the_test_figures(tmp_path):
    results = planted(scores, depths=(8,), norms=("batch",))
    plan = StudyPlan(trials=8, epochs=5, steps={8: 18}, search=11.0, final=20.0, export=10.0)
    results.definition["plan"] = plan.get_config()
    measures = Measures({"accuracy": 0.99}, {"accuracy": Measured(0.975, 0.96, 0.98)}, {"accuracy": 0.1})
    of_trial = Artefact("best/1", 0, 0.975, 40, 0.0, 3, {}, measures=measures)
    training = {"epochs": 17, "steps": 18, "finished_steps": 201, "precision": "float32"}
    training |= {"data": {"augment": ["crop", "flip"]}, "learning_rate": 0.03, "values": {"learning_rate": 0.09}}
    text = write(results, tmp_path, artefact=replace(of_trial, training=training))
    assert "The plan for the budget: 8 trials of 90 steps in 11 s, the final training in 20 s, the export in 10" in text
    words = (
        "17 epochs in float32, augmented by crop and flip (ended after 201 of 306 steps), at the learning rate 0.03, "
    )
    words += "since it diverged at 0.09."
    assert f"the final training of the best configuration: {words}" in text
    for figure in ("97.50%", "99.00%"):
        assert f"<td>{figure}</td>" in text
    kept = replace(of_trial, training={**training, "weights": "trial"})
    assert "This is the model of the best trial: the final training" in write(results, tmp_path, artefact=kept)
    results.definition["plan"] = replace(plan, final=0.0).get_config()
    text = write(results, tmp_path, artefact=of_trial)
    assert "This is the model of the best trial." in text
    assert "the final training" not in text


def test_the_confirmation_is_shown_beside_the_search(tmp_path):
    results = planted(lambda depth, norm, rate, seed: 0.1 + rate, depths=(8,), norms=("batch",))
    results.confirmation = planted(
        lambda depth, norm, rate, seed: 0.3 + rate / 10 + seed / 20,
        depths=(8,),
        norms=("batch",),
        seeds=3,
        skip=lambda values: values["learning_rate"] == 1.0,
    )
    table = tables.confirmed(results)
    assert [row.cells[2:5] for row in table.rows] == [["0.01", "97.80%", "92.98%"], ["0.1", "96.00%", "92.80%"]]
    assert [row.cells[-1] for row in table.rows] == ["", "tie"]
    text = write(results, tmp_path)
    heads = [head for head in Page(text).heads if head]
    assert heads[:2] == ["The best configurations with new seeds", "Best and largest usable learning rates"]
    assert "confirmed 92.98% (90.50% to 95.46%, 3 new seeds)" in text
    assert text.count('class="best"') == 1, "the row of the search of the winner"


def test_text_from_outside_is_escaped(report):
    assert "Boom: &lt;b&gt;" in report[2]
    assert "Boom: <b>" not in report[2]


def test_what_was_not_measured_is_not_shown(tmp_path):
    """The study has one depth, one trial, no times and no moving statistics."""
    text = write(planted(scores, depths=(8,), norms=("batch",), rates=(0.1,)), tmp_path)
    missing = ("Learning rates against depth", "Timeline", "Moving and recalibrated statistics", "What was not")
    assert "1 trial:" in text
    assert not any(title in text for title in missing)
    assert Page(text).tags.count("svg") == 1, "the learning curve"
    assert not (tmp_path / "timeline.png").exists()


def test_the_heatmap_shows_every_cell():
    """Cells with a lost seed are hatched. Others have the accuracy. Each depth has a ring, the best of all a second."""
    panels = figures.heatmap(planted(scores)).axes[:2]
    hatched = [[p.get_hatch() for p in axes.patches if isinstance(p, Rectangle) and p.get_hatch()] for axes in panels]
    assert hatched == [["\\\\\\\\"], ["xxxx", "////"]]
    assert [len(axes.texts) for axes in panels] == [5, 4]
    assert [sum(isinstance(p, Ellipse) for p in axes.patches) for axes in panels] == [3, 2]
    assert panels[0].texts[0].get_text() == f"{1 - scores(8, 'batch', 0.01, 0) / 5:.1%}"


def test_the_colour_of_the_heatmap_ends_at_guessing():
    results = planted(lambda depth, norm, rate, seed: 4.0 if rate == 1.0 else 0.2)
    colours = [patch.get_facecolor() for patch in figures.heatmap(results).axes[0].patches[:3]]
    assert colours[2] == figures._COLOURS(1.0), "clipped"
    assert colours[0] == figures._COLOURS(0.0)
    assert figures._scale(results).vmax == pytest.approx(math.log(10))


def test_without_a_depth_axis_the_rows_are_the_axis_with_the_most_values():
    def placed(depth, norm, rate, seed, placement):
        return 0.1 + rate + (placement == "post")

    results = planted(placed, depths=(8,), more={"placement": ("pre", "post", "act_norm")})
    layout = Layout(results)
    assert (layout.row, layout.rows) == ("placement", ["pre", "post", "act_norm"])
    assert [layout.label(series) for series in layout.series] == ["norm batch", "norm none"]
    batch = figures.heatmap(results).axes[0]
    assert batch.get_ylabel() == "placement"
    assert [text.get_text() for text in batch.get_yticklabels()] == ["pre", "post", "act_norm"]
    assert len(batch.texts) == 9
    assert scaling.scalings(results) == {"best": [], "largest": []}


def test_many_series_and_sampled_rates():
    """The page shows the best 12 of 24 panels. 40 rates share 12 columns, each with the best of its rates."""
    rates = np.geomspace(1e-3, 1.0, 40).tolist()

    def rising(depth, norm, rate, seed, width):
        return 0.1 + width / 100 + abs(math.log10(rate / 0.3))

    results = planted(rising, depths=(8,), norms=("batch",), rates=rates, more={"width": range(24), "more": (0, 1)})
    layout = Layout(results)
    assert layout.row == "width"
    columns = [layout.column(rate) for rate in rates]
    assert columns == sorted(columns)
    assert set(columns) == set(range(12))
    axes = figures.heatmap(results).axes[0]
    numbers = [float(text.get_text().rstrip("%")) for text in axes.texts[:12]]
    best = [min(rising(8, "", rate, 0, 0) for rate in rates if layout.column(rate) == column) for column in range(12)]
    by_place = dict(zip((text.get_position()[0] for text in axes.texts[:12]), numbers, strict=True))
    assert [by_place[column] for column in range(12)] == pytest.approx([100 * (1 - s / 5) for s in best], abs=0.06)

    results = planted(rising, rates=(0.1,), norms=("batch",), depths=(8, 14), more={"width": range(24)})
    layout = Layout(results)
    assert [series["width"] for series in layout.series] == list(range(12))
    assert layout.left_out == " Only the best 12 of 24 combinations of the other axes are shown."


def test_every_seed_is_a_point_and_the_lost_are_on_the_rail():
    batch, none = figures.score_against_learning_rate(planted(scores, seeds=2)).axes

    def count(axes, marker):
        return sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() == marker)

    assert [count(batch, marker) for marker in "ovx"] == [10, 2, 0]
    assert [count(none, marker) for marker in "ovx"] == [8, 0, 4]


def power(exponent, noise=0.0):
    """Return the loss: best at the rate depth^exponent, usable up to six times this rate, diverged at ten times."""

    def score(depth, norm, rate, seed):
        best = 2.0 * depth**exponent * math.exp(noise * math.sin(5 * depth))
        return math.inf if rate > 7 * best else 0.1 + abs(math.log(rate / best))

    return score


def grid(exponent, depths, noise=0.0):
    """Return rates that include the best of each depth, and 1/6, 6 and 10 times the best."""
    best = [2.0 * depth**exponent * math.exp(noise * math.sin(5 * depth)) for depth in depths]
    return sorted({rate * factor for rate in best for factor in (1 / 6, 1, 6, 10)})


@pytest.mark.parametrize("exponent", [-1.5, -0.5, 0.0])
def test_the_slopes_of_planted_power_laws(exponent):
    depths = (8, 14, 20, 32)
    found = scaling.scalings(planted(power(exponent), depths=depths, norms=("batch",), rates=grid(exponent, depths)))
    (best,) = found["best"]
    assert best.rates == pytest.approx([2.0 * depth**exponent for depth in depths])
    assert not best.bounds.any()
    assert best.fit.slope == pytest.approx(exponent, abs=1e-9)
    assert best.fit.error == pytest.approx(0.0, abs=1e-6)
    assert str(best.fit) == f"{exponent:.2f} ± 0.00"


def test_the_error_of_a_slope_is_that_of_least_squares():
    """The closed form is s / sqrt(sum of squared distances from the mean)."""
    depths, noise = (8, 14, 20, 32, 56), 0.3
    results = planted(power(-1.5, noise), depths=depths, norms=("batch",), rates=grid(-1.5, depths, noise))
    fit = scaling.scalings(results)["best"][0].fit
    x = np.log(depths)
    y = math.log(2) - 1.5 * x + noise * np.sin(5 * np.array(depths))
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    residuals = y - y.mean() - slope * (x - x.mean())
    error = math.sqrt((residuals**2).sum() / (len(x) - 2) / ((x - x.mean()) ** 2).sum())
    assert (fit.slope, fit.error) == (pytest.approx(slope), pytest.approx(error))
    assert f"best rate, norm batch: {slope:.2f} ± {error:.2f}" in scaling.caption(results)


def test_a_rate_at_the_end_of_what_was_tried_is_a_bound_and_not_in_the_fit():
    """At depth 8 every rate is usable, so the largest usable rate is unknown, and the best is the highest tried."""

    def score(depth, norm, rate, seed):
        best = 8.0 / depth
        return math.inf if rate > 2.5 * best else 0.1 + abs(math.log(rate / best))

    results = planted(score, depths=(8, 16, 32, 64), norms=("batch",), rates=(0.125, 0.25, 0.5, 1.0))
    (best,), (largest,) = scaling.scalings(results).values()
    assert best.rates.tolist() == [1.0, 0.5, 0.25, 0.125]
    assert best.bounds.tolist() == [True, False, False, True]
    assert best.fit is None, "two depths have no slope with an error"
    assert largest.rates.tolist() == [1.0, 1.0, 0.5, 0.25]
    assert largest.bounds.tolist() == [True, True, False, False]
    hollow = [line for line in scaling.rates_against_depth(results).axes[0].lines if line.get_fillstyle() == "none"]
    assert [len(line.get_xdata()) for line in hollow] == [2]


def test_what_was_pruned_bounds_the_largest_usable_rate():
    results = planted(lambda d, n, r, s: ("pruned", 1.0) if r == 1.0 else r, norms=("batch",))
    assert scaling.scalings(results)["largest"][0].bounds.all()


def test_the_figure_has_the_fitted_line_and_the_guides():
    depths = (8, 14, 20, 32)
    axes = scaling.rates_against_depth(
        planted(power(-1.5), depths=depths, norms=("batch",), rates=grid(-1.5, depths))
    ).axes[0]
    slopes = [
        np.diff(np.log(line.get_ydata()))[0] / np.diff(np.log(line.get_xdata()))[0]
        for line in axes.lines
        if len(line.get_xdata()) == 2
    ]
    assert sorted(slopes) == pytest.approx([-1.5, -1.5, -0.5, 0.0])
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["norm batch: -1.50 ± 0.00", "slope 0", "slope -1/2", "slope -3/2"]


def test_the_timeline():
    """Two workers compile once for 3 s, and train 4 s per trial. A pause of an hour is cut out."""
    results = planted(scores, workers=2)
    found, cuts = timeline.bars(results)
    assert [bar.start for bar in found] == [0, 0, 7, 7, 11, 11, 15, 15, 19, 19, 23, 23]
    assert max(bar.end for bar in found) == 27
    assert cuts == []
    work, best = timeline.timeline(results).axes
    assert [text.get_text() for text in work.get_yticklabels()] == ["host:0", "host:1"]
    lengths = {}
    for bars in work.collections:
        colour = tuple(bars.get_facecolor()[0])
        spans = [path.vertices[:, 0].max() - path.vertices[:, 0].min() for path in bars.get_paths()]
        lengths[colour] = lengths.get(colour, 0) + sum(spans)
    counts = results.counts
    assert sorted(lengths.values()) == pytest.approx(
        sorted([2 * 3.0, *(4.0 * count for count in counts.values() if count)])
    )
    step = next(line for line in best.lines if line.get_drawstyle() == "steps-post")
    good = [(bar.end, bar.trial.score) for bar in found if bar.trial.outcome == "ok"]
    assert step.get_ydata()[-1] == min(score for _, score in good)
    assert "2 workers worked 54 s in total, within 27 s. Compiling took 11% of the work." in timeline.caption(results)

    later = [replace(trial, started=trial.started + 3600 * (trial.trial >= 6)) for trial in results.trials]
    again, cuts = timeline.bars(Results(later, results.definition))
    assert cuts == [15.0]
    assert [bar.start for bar in again] == [bar.start for bar in found]


def test_what_the_moving_statistics_would_have_chosen():
    """The moving statistics rank three usable rates in reverse order."""
    results = planted(
        lambda d, n, r, s: 0.1 + r, norms=("batch", None), depths=(8,),
        moving=lambda d, n, r, s: 0.1 + r if n == "none" else 3.0 - r,
    )  # fmt: skip
    assert list(statistics.with_moving_statistics(results)["norm"]) == ["batch"] * 3
    said = statistics.caption(results)
    assert "2 of 3 configurations would have another rank (rank correlation -1.00)" in said
    assert "the best one would be depth 8, norm batch, learning rate 1, with the loss 1.1000 instead of 0.1100" in said
    axes = statistics.moving_against_recalibrated(results).axes[0]
    points = next(line for line in axes.lines if line.get_marker() == "o")
    assert points.get_xdata().tolist() == pytest.approx([0.11, 0.2, 1.1])
    assert points.get_ydata().tolist() == pytest.approx([2.99, 2.9, 2.0])


@pytest.mark.slow
@pytest.mark.parametrize(
    "score", [lambda *a: math.inf, lambda *a: "boom", lambda *a: ("pruned", 1.0), lambda *a: 1e-9],
    ids=["inf", "boom", "pruned", "tiny"],
)  # fmt: skip
def test_extreme_studies_have_a_report_too(tmp_path, score):
    write(planted(score), tmp_path)
    assert (tmp_path / "report.html").stat().st_size > 20_000


@pytest.mark.slow
def test_a_regression_has_one(tmp_path):
    text = write(planted(scores, classes=0), tmp_path)
    assert "R²" in text
    assert "accuracy" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL).lower()


def test_an_empty_study_has_none(tmp_path):
    results = planted(scores, depths=(8,), norms=("batch",), rates=(0.1,), finished=False)
    with pytest.raises(ValueError, match="no trial has run yet"):
        write(results, tmp_path)
    assert list(tmp_path.iterdir()) == []


def driven(report, tmp_path, script, width=1000):
    """Run a script at the end of the page in an offline browser, in a frame of some width, and return its result."""
    answer = f"document.getElementById('found').textContent = JSON.stringify((() => {{{script}}})())"
    page = report[2].replace("</body>", f"<pre id=found></pre><script>{answer}</script></body>")
    copy = "found.textContent = frame.contentDocument.getElementById('found').textContent"
    outer = tmp_path / "page.html"
    # a Chromium window has at least 500 pixels, a frame can be narrower
    frame = f"<iframe id=frame width={width} height=900 style='border: 0' srcdoc=\"{html.escape(page)}\"></iframe>"
    outer.write_text(
        f"<!doctype html><meta charset=utf-8>{frame}<pre id=found></pre><script>onload = () => {copy}</script>",
        encoding="utf-8",
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", "--window-size=1100,1000", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *options, *offline, outer.as_uri()], capture_output=True, text=True, timeout=120)
    found = re.search(r'.*<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-500:] + done.stderr[-500:]
    return json.loads(html.unescape(found[1]))


_TYPE = """
const box = document.querySelector(".filter input[type=search]");
const type = text => { box.value = text; box.dispatchEvent(new Event("input", {bubbles: true})); };
const rows = () => [...document.querySelector(".sortable").tBodies[0].rows].filter(row => row.offsetParent !== null);
const button = name => [...document.querySelectorAll(".sortable th button")].find(b => b.textContent === name);
const column = name => rows().map(row => row.cells[button(name).closest("th").cellIndex].textContent);
"""


@pytest.mark.slow
@in_browser
def test_the_table_filters_in_a_browser(report, tmp_path):
    _, results, _ = report
    found = driven(report, tmp_path, _TYPE + """
        const seen = {all: rows().length};
        const searches = ["none", "batch depth=14", "learning_rate>=0.1 seed=1", "outcome=ok score<0.3", "nothing"];
        for (const words of searches) {
            type(words);
            seen[words] = column("trial").map(Number);
        }
        seen.said = document.querySelector(".filter output").textContent;
        type("");
        document.querySelector(".filter input[value=ok]").click();
        seen.lost = [...new Set(column("outcome"))].sort();
        return seen;
    """)  # fmt: skip
    trials = results.trials
    assert found["all"] == len(trials)
    assert found["none"] == [t.trial for t in trials if t.norm == "none"]
    assert found["batch depth=14"] == [t.trial for t in trials if t.norm == "batch" and t.depth == 14]
    at_least = [t.trial for t in trials if t.learning_rate >= 0.1 and t.seed == 1]
    assert found["learning_rate>=0.1 seed=1"] == at_least
    assert found["outcome=ok score<0.3"] == [t.trial for t in trials if t.outcome == "ok" and t.score < 0.3]
    assert found["nothing"] == []
    assert found["said"] == f"0 of {len(trials)} trials"
    assert found["lost"] == ["diverged", "failed", "pruned"]


@pytest.mark.slow
@in_browser
def test_the_table_sorts_in_a_browser(report, tmp_path):
    """The table sorts by score in both orders, with missing scores last. The buttons work with the keyboard."""
    _, results, _ = report
    found = driven(report, tmp_path, _TYPE + """
        const seen = {};
        button("score").click(); seen.up = column("score").map(Number);
        seen.sort = button("score").parentElement.getAttribute("aria-sort");
        button("score").click(); seen.down = column("score").map(Number);
        button("moving loss").click(); seen.moving = column("moving loss");
        button("moving loss").click(); seen.gnivom = column("moving loss");
        seen.keyboard = button("score").tabIndex;
        return seen;
    """)  # fmt: skip
    ordered = sorted(float(f"{t.score:.4f}") for t in results.trials)
    assert found["up"] == ordered
    assert found["down"] == ordered[::-1]
    assert found["sort"] == "ascending"
    for name, back in (("moving", False), ("gnivom", True)):
        numbers = [float(text) for text in found[name] if text]
        assert numbers == sorted(numbers, reverse=back)
        assert found[name][len(numbers) :] == [""] * (len(results) - len(numbers))
        assert len(numbers) < len(results)
    assert found["keyboard"] == 0


@pytest.mark.slow
@in_browser
@pytest.mark.parametrize("width", [390, 1000])
def test_the_page_is_no_wider_than_the_window(report, tmp_path, width):
    found = driven(
        report,
        tmp_path,
        """
        const shown = kind => [...document.querySelectorAll(kind)].filter(part => part.offsetParent !== null).length;
        const pictures = [...document.querySelectorAll("figure svg")].map(svg => svg.getBoundingClientRect().right);
        return {window: innerWidth, page: document.documentElement.scrollWidth, picture: Math.max(...pictures),
                narrow: shown(".narrow"), wide: shown(".wide")};
        """,
        width,
    )
    assert found["window"] == width
    assert found["page"] <= width
    assert found["picture"] <= width
    assert (found["narrow"] > 0, found["wide"] > 0) == (width == 390, width == 1000)


@pytest.mark.slow
@in_browser
def test_no_column_is_cut_at_1200_pixels(report, tmp_path):
    cut = """
        return [...document.querySelectorAll(".scroll")].map(box => box.scrollWidth - box.clientWidth);
    """
    assert max(driven(report, tmp_path, cut, 1200)) <= 0


def test_panels_with_one_point_are_left_out(tmp_path):
    """One of two norms has one trial."""
    lone = (8, 0.01)
    results = planted(
        scores, rates=(0.01, 0.1), skip=lambda v: v["norm"] == "none" and (v["depth"], v["learning_rate"]) != lone
    )
    assert len(figures.score_against_learning_rate(results).axes) == 1
    text = write(results, tmp_path)
    assert "Not shown: 1 combination of the other axes with a single point." in text
    assert "5 trials:" in text


def test_the_objective_is_named(tmp_path):
    results = planted(scores, depths=(8,), norms=("batch",), rates=(0.1,))
    results.definition.update(objective="auc", class_weight="balanced")
    assert "1 seed, objective auc, class weight balanced, sampler grid" in write(results, tmp_path)


def test_numbers_on_log_axes_are_plain():
    figure = figures.score_against_learning_rate(planted(scores))
    figure.canvas.draw()
    for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
        texts = [label.get_text() for label in axis.get_ticklabels()]
        assert len(texts) >= 3
        assert all(re.fullmatch(r"\d+(\.\d+)?", text) for text in texts)


def test_names_of_classes_may_have_dollar_signs(tmp_path):
    measures = Measures(confusion=[[3, 1], [0, 2]], labels=["$5_to_$10", "more"])
    confusion(measures).savefig(tmp_path / "confusion.png")
    assert "$5_to_$10 as more (1)" in caption(measures)


def test_a_perfect_score_is_shown(recwarn):
    results = planted(lambda depth, norm, rate, seed: 0.0, workers=1)
    best = timeline.timeline(results).axes[1]
    curve = figures.score_against_learning_rate(results).axes[0]
    assert [axes.get_yscale() for axes in (best, curve)] == ["linear", "linear"]
    assert not recwarn.list


def test_a_character_that_the_font_lacks_is_no_warning(recwarn):
    _, svg = page.draw("dogs", lambda text: Figure().text(0, 0, text).figure, "\N{CJK UNIFIED IDEOGRAPH-72AC}")
    assert svg.startswith("<svg")
    assert not recwarn.list


@pytest.mark.slow
@in_browser
def test_it_prints(report, tmp_path):
    """The last trial and the last line are on paper, so no scrolling box cuts off its content."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    page, paper = report[0] / "report.html", tmp_path / "report.pdf"
    subprocess.run([CHROMIUM, *options, f"--print-to-pdf={paper}", page.as_uri()], capture_output=True, timeout=120)
    pages = len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
    assert 3 <= pages <= 12


def test_tensorboard(tmp_path):
    """TensorBoard's reader returns the hyperparameters, curves and final figures from the event files."""
    more = {"placement": ("pre", "post"), "weight_decay": (0, 1e-4)}
    results = planted(scores, workers=2, depths=(8,), rates=(0.01, 1.0), more=more)
    reports.write_hparams(results, tmp_path)
    reports.write_hparams(results, tmp_path)  # a second call duplicates nothing
    for trial in results.trials:
        run = event_accumulator.EventAccumulator(str(tmp_path / f"{trial.trial:05d}"))
        run.Reload()
        read = {
            tag: [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in run.Tensors(tag)]
            for tag in run.Tags()["tensors"]
            if tag != "outcome" and not tag.startswith("_hparams_")
        }
        written = {name: list(enumerate(curve, 1)) for name, curve in trial.history.items()}
        last = max(map(len, trial.history.values()), default=0)
        written["final/score"] = [(last, trial.score)]
        if not math.isnan(trial.accuracy):
            written["final/accuracy"] = [(last, trial.accuracy)]
        assert read.keys() == written.keys()
        for tag, curve in written.items():
            assert np.array(read[tag]) == pytest.approx(np.array(curve), nan_ok=True)
        content = {
            tag: plugin_data_pb2.HParamsPluginData.FromString(run.SummaryMetadata(tag).plugin_data.content)
            for tag in run.PluginTagToContent("hparams")
        }
        start = content["_hparams_/session_start_info"].session_start_info
        values = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
        assert values == {**trial.values, "seed": trial.seed}
        assert start.start_time_secs == trial.started
        end = content["_hparams_/session_end_info"].session_end_info
        assert end.end_time_secs == trial.started + trial.compile_seconds + trial.train_seconds
        assert (end.status == api_pb2.STATUS_FAILURE) == (trial.outcome == "failed")
    whole = event_accumulator.EventAccumulator(str(tmp_path))
    whole.Reload()
    (config,) = whole.PluginTagToContent("hparams").values()
    experiment = plugin_data_pb2.HParamsPluginData.FromString(config).experiment
    names = ["depth", "norm", "placement", "weight_decay", "learning_rate", "seed"]
    assert [info.name for info in experiment.hparam_infos] == names
    assert [info.name.tag for info in experiment.metric_infos] == ["final/score", "final/accuracy"]
