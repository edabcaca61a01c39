"""One self-contained HTML file."""

import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnzoo.files import whole_file, write_text
from bnzoo.reports import figures
from bnzoo.reports.page import draw, render

if TYPE_CHECKING:
    from bnzoo.tuning.results import Results
    from bnzoo.tuning.verdict import Verdict

# file name -> (the picture, its title, what a reader should look for)
_FIGURES = {
    "heatmap": (
        figures.heatmap,
        "Learning rate and depth",
        "Numbers are validation accuracies in percent, means over seeds. The best rate of each depth is ringed, "
        "the best of all twice. Hatched cells did not train with every seed.",
    ),
    "learning_rate": (
        figures.score_against_learning_rate,
        "Score against learning rate",
        "Every seed is a point. Crosses on the rail at the top stalled, diverged or failed.",
    ),
    "learning_curves": (
        figures.learning_curves,
        "Learning curves",
        "Each norm at its best learning rate. The validation here uses the moving statistics, which lag behind; scores "
        "use recalibrated ones.",
    ),
}


def write_report(results: "Results", verdict: "Verdict", path: str | Path) -> None:
    """Writes the report of a study as one HTML file without outside parts, and its pictures as PNG beside it.

    Args:
        results: `bnzoo.tuning.Results`, of at least one trial.
        verdict: `bnzoo.tuning.Verdict`.
        path: The HTML file. Its folder must exist.

    Raises:
        ValueError: If there is no trial yet.
    """
    if not len(results):
        raise ValueError("There is nothing to report: no trial has run yet")
    path = Path(path)
    pictures = []
    for name, (picture, title, caption) in _FIGURES.items():
        figure, svg = draw(name, picture, results)
        with whole_file(path.parent / f"{name}.png") as draft:
            figure.savefig(draft, dpi=150)
        pictures.append({"title": title, "caption": caption, "svg": svg})
    write_text(
        path,
        render(
            "report.html.j2",
            study=results.definition,
            definition=json.dumps(results.definition, indent=1),
            verdict=verdict,
            counts={outcome: count for outcome, count in results.counts.items() if count},
            table=_rows(results.table()),
            pictures=pictures,
            trials=results.trials,
            best=results.best,
            versions=results.trials[-1].versions or {"bnzoo": metadata.version("bnzoo")},
        ),
    )


def _rows(table: Any) -> list[dict[str, Any]]:
    return [{key: None if value != value else value for key, value in row.items()} for row in table.to_dict("records")]
