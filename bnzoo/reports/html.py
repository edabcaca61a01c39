"""The report of a study as one self-contained HTML file."""

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
from bnzoo.reports import confusion, costs, figures, scaling, statistics, tables, timeline
from bnzoo.reports.layout import FEWEST, Layout
from bnzoo.reports.page import draw, render, write

if TYPE_CHECKING:
    from bnzoo.training.artefact import Artefact
    from bnzoo.tuning.results import Results
    from bnzoo.tuning.verdict import Verdict

# shown at the top if they do not vary
FIXED = ("placement", "branch_scale", "activation", "batch_size", "weight_decay")
NARROW = 5.8  # inches; wider figures have a second version for phones


@dataclass(frozen=True)
class Picture:
    """A figure of the report.

    Attributes:
        draw: Function of the results, with the argument `narrow=True` for a phone, that returns a figure.
        title: String, or function of the results that returns it.
        caption: String, or function of the results that returns it.
        shown: Function of the results that returns whether there is data to show.
    """

    draw: Callable[..., Figure]
    title: Callable[[Any], str] | str
    caption: Callable[[Any], str] | str
    shown: Callable[["Results"], bool] = lambda results: True


def _axes(results: "Results") -> str:
    return f"Learning rate and {Layout(results).row.replace('_', ' ')}"


def _heatmap_caption(results: "Results") -> str:
    row = Layout(results).row.replace("_", " ")
    binned = any(low < high for low, high in Layout(results).columns)
    metric = metric_named(results.metric).label
    return (
        f"Numbers are validation {metric}, means over the seeds. A ring marks the best learning rate of each {row}, "
        "two rings mark the best configuration of the search. Hatched cells have a seed that was not trained to the "
        "end; empty cells were not tried. The colour scale ends at guessing at the latest."
        + " Learning rates were sampled: each column shows the best one of a range, labelled by its middle." * binned
        + Layout(results).left_out
    )


# file name -> figure
_PICTURES = {
    "heatmap": Picture(figures.heatmap, _axes, _heatmap_caption, lambda results: len(Layout(results).series) > 0),
    "learning_rate": Picture(
        figures.score_against_learning_rate,
        "Score against learning rate",
        lambda results: (
            "Each point is a seed, the line connects their means. Crosses on the grey line at the top stalled, "
            "diverged or failed; triangles were pruned at this score." + Layout(results).left_out
        ),
        lambda results: len(Layout(results).series) > 0,
    ),
    "rates": Picture(
        scaling.rates_against_depth,
        "Learning rates against depth",
        scaling.caption,
        lambda results: any(scaling.scalings(results).values()),
    ),
    "costs": Picture(costs.metric_against_cost, costs.title, costs.caption, lambda results: bool(costs.shown(results))),
    "learning_curves": Picture(
        figures.learning_curves,
        "Learning curves",
        lambda results: (
            "Each series at its best learning rate. The validation uses the moving statistics here, which lag behind. "
            "Scores use recalibrated statistics." + figures.curves_layout(results).left_out
        ),
        lambda results: len(figures.rows_with_curves(figures.curves_layout(results))) > 0,
    ),
    "statistics": Picture(
        statistics.moving_against_recalibrated,
        "Moving and recalibrated statistics",
        statistics.caption,
        lambda results: len(statistics.with_moving_statistics(results)) >= FEWEST,
    ),
    "timeline": Picture(
        timeline.timeline, "Timeline", timeline.caption, lambda results: len(timeline.timed(results)) >= FEWEST
    ),
}


def write_report(
    results: "Results",
    verdict: "Verdict",
    path: str | Path,
    command: str = "",
    artefact: "Artefact | None" = None,
) -> None:
    """Write the report of a study as one self-contained HTML file, and its figures as PNG files in the same folder.

    Figures with fewer than two points are omitted: those over depth if only one depth was tried, the timeline if the
    start times are not known.

    Args:
        results: `bnzoo.tuning.Results`, of at least one trial.
        verdict: `bnzoo.tuning.Verdict`.
        path: The HTML file. Its folder must exist.
        command: String, the command line that repeats the study.
        artefact: `bnzoo.tuning.Artefact`, whose metrics are shown; `None` if the best model was not exported.

    Raises:
        ValueError: If no trial has run yet.
    """
    if not len(results):
        raise ValueError("The report has no data: no trial has run yet. Run the study first.")
    path = Path(path)
    varying = ["learning rate", *(axis.replace("_", " ") for axis in Layout(results).varying)]
    page = render(
        "report.html.j2",
        study=results.definition,
        title=varying,
        settings=_settings(results),
        definition=_json(results.definition),
        verdict=verdict,
        plan=results.plan,
        artefact=artefact,
        trained=_trained(artefact),
        confusion=_confusion(artefact, path),
        counts=tables.outcomes(results),
        rates=tables.rates(results),
        confirmed=tables.confirmed(results),
        trials=tables.trials(results),
        not_tried=tables.not_tried(results),
        pictures=[_picture(name, results, path) for name, picture in _PICTURES.items() if picture.shown(results)],
        versions=results.trials[-1].versions or {"bnzoo": metadata.version("bnzoo")},
        command=command,
    )
    write_text(path, page)


def _trained(artefact: "Artefact | None") -> str:
    """Return how the model of an artefact was trained: by the trial, or again to the end."""
    if artefact is None or not artefact.training:
        return "This is the model of the best trial."
    training = artefact.training
    steps, all_steps = training.get("finished_steps"), training.get("epochs", 0) * training.get("steps", 0)
    ended = f" (ended after {steps:,} of {all_steps:,} steps)" if steps and steps < all_steps else ""
    if training.get("weights") == "trial":
        return f"This is the model of the best trial: the final training{ended} did not reach it."
    words = f"{training.get('epochs')} epochs in {training.get('precision')}{artefact.augmentation}{ended}"
    rate, searched = training.get("learning_rate"), training.get("values", {}).get("learning_rate")
    if rate and searched and rate != searched:
        words += f", at the learning rate {rate:.4g}, since it diverged at {searched:.4g}"
    return f"This is the model of the final training of the best configuration: {words}."


def _confusion(artefact: "Artefact | None", path: Path) -> dict[str, Any] | None:
    if artefact is None or not artefact.measures.confusion:
        return None
    picture = Picture(confusion.confusion, "Confusion matrix", confusion.caption)
    return _drawn("confusion", picture, artefact.measures, path)


def _picture(name: str, results: "Results", path: Path) -> dict[str, Any]:
    return _drawn(name, _PICTURES[name], results, path)


def _drawn(name: str, picture: Picture, results: Any, path: Path) -> dict[str, Any]:
    figure, svg = draw(name, picture.draw, results)
    figure.set_layout_engine("none")  # the layout has been computed, which takes longer than drawing
    with whole_file(path.parent / f"{name}.png") as draft:
        write(figure, draft, dpi=150)
    wide = figure.get_size_inches()[0] > NARROW
    return {
        "title": picture.title if isinstance(picture.title, str) else picture.title(results),
        "caption": picture.caption if isinstance(picture.caption, str) else picture.caption(results),
        "svg": svg,
        "narrow": draw(f"{name}-narrow", partial(picture.draw, narrow=True), results)[1] if wide else None,
    }


def _json(definition: dict[str, Any]) -> str:
    """Return a definition as JSON, each flat list on one line."""
    plain_list = r"\[[^\[\]{}]*\]"
    return re.sub(plain_list, lambda match: re.sub(r"\n\s*", " ", match[0]), json.dumps(definition, indent=1))


def _settings(results: "Results") -> list[str]:
    """Return the settings of the study that do not vary, as texts."""
    study = results.definition
    space, sampler, pruner = study["space"], study.get("sampler"), study.get("pruner")
    fixed = {name: space[name] for name in FIXED if space.get(name) is not None and name not in results.axes}
    settings = [f"{name.replace('_', ' ')} {results.text(entry)}" for name, entry in fixed.items()]
    settings += [f"{study['epochs']} epoch{'s' * (study['epochs'] > 1)}"]
    settings += [f"{study['seeds']} seed{'s' * (study['seeds'] > 1)}"]
    settings += [
        f"{name.replace('_', ' ')} {study[name]}"
        for name in ("objective", "class_weight", "precision", "equal")
        if name in study
    ]
    settings += [f"sampler {sampler['name']}"] if sampler else []
    settings += [f"pruner {pruner['name']}"] if pruner else []
    return settings
