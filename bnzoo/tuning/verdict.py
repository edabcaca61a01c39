"""What a study says, in sentences, and what should keep its reader from believing it too soon."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bnzoo.metrics import metric_named
from bnzoo.tuning.results import Results

NEAR = 0.05  # what is nearer to the end of a range, as a share of its logarithm, is at its edge
FEW = 0.9  # the values of an axis of which fewer than this share of the study's share were tried are named
MANY = 12  # an axis with more values has been sampled: how often each was tried says nothing


@dataclass(frozen=True)
class Verdict:
    """The finding of a study.

    Attributes:
        sentence: String, the best configuration and what it reaches.
        warnings: List of strings, why the finding may not hold.
    """

    sentence: str
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"warning: {warning}" for warning in self.warnings)])


def verdict(results: Results) -> Verdict:
    """The finding of a study and its warnings."""
    warnings = _not_tried(results) + _stopped(results)
    usable = results.usable
    if usable.empty:
        every = "every one stalled, diverged, was pruned or failed"
        why = every if len(results.configurations) else "none has run with all its seeds"
        return Verdict(f"No configuration is usable: {why}.", warnings)
    best = usable.iloc[0]
    sentence = f"Best: {results.words(best)}: validation {_figure(results, best)}, loss {best['score']:.4f}."
    return Verdict(sentence, warnings + _edges(results, best) + _seeds(results, best) + _moving(results, best))


def _figure(results: Results, measured: Mapping[str, Any]) -> str:
    """Return the metric of a configuration with its label."""
    metric = metric_named(results.metric)
    return f"{metric.label} {metric.text(measured[metric.name])}"


def _not_tried(results: Results) -> list[str]:
    """What the budget left out, and which values of which axes it left out most."""
    if not results.not_tried:
        return []
    share = len(results) / results.size
    missing = []
    for axis in results.axes:
        tried = Counter(trial.values.get(axis) for trial in results.trials)
        every = tried + Counter(values.get(axis) for values in results.not_tried)
        if 1 < len(every) <= MANY:
            few = {entry: count for entry, count in every.items() if tried[entry] < FEW * share * count}
            name = axis.replace("_", " ")
            missing += [
                f"{tried[entry] or 'none'} of {count} with {name} {results.text(entry)}" for entry, count in few.items()
            ]
    what = f"; tried: {', '.join(missing)}" if missing else ""
    return [f"{len(results.not_tried)} of {results.size} trials were not tried (budget){what}"]


def _stopped(results: Results) -> list[str]:
    """The trials that did not come to their end."""
    found = []
    if failed := results.counts["failed"]:
        found.append(f"{failed} trial{'s' * (failed > 1)} raised an error; results.json has the traceback")
    if pruned := results.counts["pruned"]:
        found.append(f"{pruned} pruned: whether they would have caught up is not known")
    return found


def _edges(results: Results, best: Mapping[str, Any]) -> list[str]:
    found = []
    space = results.definition["space"]
    for axis, ends in (("learning_rate", space["learning_rates"]), ("depth", space["depths"])):
        name, tried = axis.replace("_", " "), results.axes[axis]
        place = best[axis]
        lowest = place == tried[0] or _near(place, min(ends), max(ends))
        highest = place == tried[-1] or _near(place, max(ends), min(ends))
        if len(tried) > 1 and (lowest or highest):
            side, direction = ("lowest", "lower") if lowest else ("highest", "higher")
            where = f"{side} tried" if place in (tried[0], tried[-1]) else f"near the {side}"
            found.append(
                f"the best {name} {results.text(place)} is at the edge of the range ({where}): search {direction} too"
            )
    return found


def _near(place: float, end: float, other: float) -> bool:
    return end != other and abs(math.log(place / end)) < NEAR * abs(math.log(other / end))


def _seeds(results: Results, best: Mapping[str, Any]) -> list[str]:
    if results.definition["seeds"] == 1:
        return ["one seed: how far chance alone moves these figures is not known; --seeds 3 tells"]
    if len(results.usable) < 2:
        return []
    second = results.usable.iloc[1]
    gap = second["score"] - best["score"]
    spread = max(best["spread"], second["spread"])
    if spread <= gap:
        return []
    return [
        f"the seeds differ by more than the gap: {spread:.4f} between seeds, {gap:.4f} to the second best "
        f"({results.words(second)})"
    ]


def _moving(results: Results, best: Mapping[str, Any]) -> list[str]:
    other = results.usable.sort_values("moving_score", kind="stable").iloc[0]
    if all(other[axis] == best[axis] for axis in results.axes):
        return []
    return [f"the moving statistics would have chosen another configuration: {results.words(other)}"]
