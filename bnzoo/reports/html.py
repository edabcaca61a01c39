"""One self-contained HTML file."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from bnzoo.files import whole_file, write_text
from bnzoo.metrics import metric_named
from bnzoo.reports import figures, scaling, statistics, tables, timeline
from bnzoo.reports.layout import Layout
from bnzoo.reports.page import draw, render

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results
    from bnzoo.tuning.verdict import Verdict

FIXED = ("placement", "activation", "batch_size", "weight_decay")  # named on top where they do not vary
NARROW = 5.8  # inches; wider pictures have a second form for the page of a phone


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes:
        draw: Function of the results, and `narrow=True` for a phone, that draws.
        title: Function of the results, or string.
        caption: Function of the results, or string: what a reader should look for.
        shown: Function of the results: whether there is anything to show.
    """

    draw: Callable[..., Figure]
    title: Callable[["Results"], str] | str
    caption: Callable[["Results"], str] | str
    shown: Callable[["Results"], bool] = lambda results: True


def _axes(results: "Results") -> str:
    return f"Learning rate and {Layout(results).row.replace('_', ' ')}"


def _heatmap(results: "Results") -> str:
    row = Layout(results).row.replace("_", " ")
    binned = any(low < high for low, high in Layout(results).columns)
    metric = metric_named(results.metric).label
    return (
        f"Numbers are validation {metric}, means over seeds. The best rate of each {row} is ringed, the best of all "
        "twice. Hatched cells did not train to the end with every seed; empty ones were not tried. The colour ends at "
        "guessing."
        + " Rates were sampled: each column is a range of them and shows the best, under its middle." * binned
        + Layout(results).left_out
    )


# file name -> the picture
_PICTURES = {
    "heatmap": Picture(figures.heatmap, _axes, _heatmap),
    "learning_rate": Picture(
        figures.score_against_learning_rate,
        "Score against learning rate",
        lambda results: (
            "Every seed is a point, the line goes through their means. Crosses on the rail at the top stalled, "
            "diverged or failed; triangles were pruned at the score that they had then." + Layout(results).left_out
        ),
    ),
    "rates": Picture(
        scaling.rates_against_depth,
        "Learning rates against depth",
        scaling.caption,
        lambda results: any(scaling.scalings(results).values()),
    ),
    "learning_curves": Picture(
        figures.learning_curves,
        "Learning curves",
        lambda results: (
            "Each series at its best learning rate. The validation here uses the moving statistics, which lag behind; "
            "scores use recalibrated ones." + Layout(results, figures.MOST_CURVES).left_out
        ),
        lambda results: any(trial.outcome == "ok" and trial.history for trial in results.trials),
    ),
    "statistics": Picture(
        statistics.moving_against_recalibrated,
        "Moving against recalibrated statistics",
        statistics.caption,
        lambda results: len(statistics.measured(results)) > 0,
    ),
    "timeline": Picture(
        timeline.timeline, "Timeline", timeline.caption, lambda results: len(timeline.timed(results)) > 0
    ),
}


def write_report(results: "Results", verdict: "Verdict", path: str | Path, command: str = "") -> None:
    """Writes the report of a study as one HTML file without outside parts, and its pictures as PNG beside it.

    A picture of something that was not measured is left out: of depth where one was tried, of time where it is not
    known when the trials started.

    Args:
        results: `bnzoo.tuning.Results`, of at least one trial.
        verdict: `bnzoo.tuning.Verdict`.
        path: The HTML file. Its folder must exist.
        command: String, what repeats the study.

    Raises:
        ValueError: If there is no trial yet.
    """
    if not len(results):
        raise ValueError("There is nothing to report: no trial has run yet")
    path = Path(path)
    varying = ["learning rate", *(axis.replace("_", " ") for axis in Layout(results).varying)]
    page = render(
        "report.html.j2",
        study=results.definition,
        title=varying,
        settings=_settings(results),
        definition=_json(results.definition),
        verdict=verdict,
        counts=tables.outcomes(results),
        rates=tables.rates(results),
        trials=tables.trials(results),
        not_tried=tables.not_tried(results),
        pictures=[_picture(name, results, path) for name, picture in _PICTURES.items() if picture.shown(results)],
        versions=results.trials[-1].versions or {"bnzoo": metadata.version("bnzoo")},
        command=command,
    )
    write_text(path, page)


def _picture(name: str, results: "Results", path: Path) -> dict[str, Any]:
    picture = _PICTURES[name]
    figure, svg = draw(name, picture.draw, results)
    figure.set_layout_engine("none")  # it has been laid out, which takes longer than drawing
    with whole_file(path.parent / f"{name}.png") as draft:
        figure.savefig(draft, dpi=150)
    wide = figure.get_size_inches()[0] > NARROW
    return {
        "title": picture.title if isinstance(picture.title, str) else picture.title(results),
        "caption": picture.caption if isinstance(picture.caption, str) else picture.caption(results),
        "svg": svg,
        "narrow": draw(f"{name}-narrow", partial(picture.draw, narrow=True), results)[1] if wide else None,
    }


def _json(definition: dict[str, Any]) -> str:
    """JSON with a plain list in a line."""
    plain_list = r"\[[^\[\]{}]*\]"
    return re.sub(plain_list, lambda found: re.sub(r"\n\s*", " ", found[0]), json.dumps(definition, indent=1))


def _settings(results: "Results") -> list[str]:
    """What did not vary, and how the rest was searched."""
    study = results.definition
    space, sampler, pruner = study["space"], study.get("sampler"), study.get("pruner")
    fixed = {name: space[name] for name in FIXED if name in space and name not in results.axes}
    found = [f"{name.replace('_', ' ')} {results.text(entry)}" for name, entry in fixed.items()]
    found += [f"{study['epochs']} epoch{'s' * (study['epochs'] > 1)}"]
    found += [f"{study['seeds']} seed{'s' * (study['seeds'] > 1)}"]
    found += [f"sampler {sampler['name']}"] if sampler else []
    found += [f"pruner {pruner['name']}"] if pruner else []
    return found
