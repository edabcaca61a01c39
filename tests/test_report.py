import html.parser
import math
import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "tuning"))
from planted import planted

from bnzoo import reports
from bnzoo.tuning.verdict import verdict


def scores(depth, norm, rate, seed):
    if norm == "none" and rate == 1.0:
        return "boom" if depth == 8 else math.inf
    return 0.1 + rate + depth / 100 + seed / 50


class Page(html.parser.HTMLParser):
    """Counts what matters and collects every reference to something outside the file."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.outside, self.rows = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href") and not value.startswith(("#", "data:")):
                self.outside.append(value)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    results = planted(scores, seeds=2)
    reports.write_report(results, verdict(results), folder / "report.html")
    return folder, results, (folder / "report.html").read_text()


def test_one_file_that_needs_nothing_else(report):
    _, results, text = report
    page = Page(text)
    assert page.outside == []
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)
    assert page.tags.count("svg") == 3
    assert page.tags.count("tr") == 1 + 4 + 1 + len(results)


def test_it_says_what_was_found(report):
    _, results, text = report
    finding = verdict(results)
    assert finding.sentence in text
    for warning in finding.warnings:
        assert warning in text
    assert "2 failed" in text
    assert "2 diverged" in text


def test_text_from_outside_is_escaped(report):
    assert "Boom: &lt;b&gt;" in report[2]
    assert "Boom: <b>" not in report[2]


def test_pictures(report):
    folder, _, _ = report
    for name in ("heatmap", "learning_rate", "learning_curves"):
        picture = (folder / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG")
        assert len(picture) > 10_000


def test_the_heatmap_shows_every_cell():
    """Hatches where a seed was lost, the accuracy elsewhere, a ring a depth and one more for the best of all."""
    from matplotlib.patches import Ellipse, Rectangle

    from bnzoo.reports.figures import heatmap

    results = planted(scores)
    panels = heatmap(results).axes[:2]
    hatched = [[p.get_hatch() for p in axes.patches if isinstance(p, Rectangle) and p.get_hatch()] for axes in panels]
    assert hatched == [[], ["xxxx", "////"]]
    assert [len(axes.texts) for axes in panels] == [6, 4]
    assert [sum(isinstance(p, Ellipse) for p in axes.patches) for axes in panels] == [3, 2]
    assert panels[0].texts[0].get_text() == f"{100 * (1 - scores(8, 'batch', 0.01, 0) / 5):.1f}"


def test_every_seed_is_a_point_and_the_lost_are_on_the_rail():
    from bnzoo.reports.figures import score_against_learning_rate

    batch, none = score_against_learning_rate(planted(scores, seeds=2)).axes
    points = {
        axes: sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "o") for axes in (batch, none)
    }
    lost = {
        axes: sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "x") for axes in (batch, none)
    }
    assert (points[batch], lost[batch]) == (12, 0)
    assert (points[none], lost[none]) == (8, 4)


@pytest.mark.parametrize(
    "score", [lambda *a: math.inf, lambda *a: "boom", lambda *a: 1e-9], ids=["inf", "boom", "tiny"]
)
def test_extreme_studies_have_a_report_too(tmp_path, score):
    results = planted(score)
    reports.write_report(results, verdict(results), tmp_path / "report.html")
    assert (tmp_path / "report.html").stat().st_size > 20_000


def test_an_empty_study_has_none(tmp_path):
    results = planted(scores, depths=(8,), norms=("batch",), rates=(0.1,), finished=False)
    with pytest.raises(ValueError, match="no trial has run yet"):
        reports.write_report(results, verdict(results), tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []
