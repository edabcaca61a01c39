"""The verdict of a study: the best configuration in a sentence, and warnings about it."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bnzoo.export.image import is_image
from bnzoo.metrics import CLASSIFICATION, REGRESSION, metric_named
from bnzoo.models import FAMILIES
from bnzoo.tuning.confirmation import alike, alike_on_examples, doubts, finding, ranked
from bnzoo.tuning.definition import outputs_of
from bnzoo.tuning.front import smallest
from bnzoo.tuning.results import Results

NEAR = 0.05  # a value this close to the end of a range, as a share of its logarithm, is at its edge
FEW = 0.9  # a value is listed if the share of its trials that ran is below this part of the share of all trials
GAP = 0.05  # a training accuracy that is higher than that of the validation by this much asks for augmentation
CONFIRMED = 3  # the configurations that a warning advises to confirm
MANY = 12  # an axis with more values was sampled, so that no value has many trials


@dataclass(frozen=True)
class Verdict:
    """The verdict of a study.

    Attributes:
        sentence: String, the best configuration and its metrics.
        warnings: List of strings, reasons to doubt that it is the best one.
        smallest: String, the smallest network that is almost as good; empty if the costs of the networks are equal or
            not known.
    """

    sentence: str
    warnings: list[str] = field(default_factory=list)
    smallest: str = ""

    def __str__(self) -> str:
        found = filter(None, [self.sentence, self.smallest])
        return "\n".join([*found, *(f"warning: {warning}" for warning in self.warnings)])


def verdict(results: Results) -> Verdict:
    """Return the verdict of a study."""
    warnings = _not_tried(results) + _never_tried(results) + _without_result(results)
    warnings += _stopped(results) + _overfitting(results)
    usable = results.usable
    if usable.empty:
        lost = "each of them stalled, diverged, was pruned or failed"
        reason = lost if len(results.configurations) else "none has run with all its seeds"
        return Verdict(f"No configuration is usable: {reason}.", warnings)
    best = results.winner
    assert best is not None
    figure = finding(results, _guess(results)) or f"{_figure(results, best)}{_objective(results, best)}"
    sentence = f"Best: {results.words(best)}: validation {figure}."
    if _is_smallest(results, best) and len(results.axes["depth"]) > 1:
        sentence += (
            f" Depth {best['depth']} is the smallest of the family, and deeper networks did not help on this data."
        )
    warnings += _edges(results, best) + _seeds(results) + _moving(results, best)
    return Verdict(sentence, warnings, smallest(results))


def _figure(results: Results, row: Mapping[str, Any]) -> str:
    """Return the metric of a configuration with its label, and the same metric for guessing."""
    metric = metric_named(results.metric)
    figure, guess = f"{metric.label} {metric.text(row[metric.name])}", _guess(results)
    return f"{figure} ({guess})" if guess else figure


def _guess(results: Results) -> str:
    """Return the metric of a configuration that ignores its input, in words; empty if it is not known."""
    if results.baseline is None:
        return ""
    task, _ = outputs_of(results.definition)
    if task == REGRESSION:
        return "always guessing the mean: 0"
    guess = "most frequent class" if task == CLASSIFICATION else "shares of the labels"
    return f"always guessing the {guess}: {metric_named(results.metric).text(results.baseline)}"


def _objective(results: Results, row: Mapping[str, Any]) -> str:
    """Return the objective of a configuration, if it is not the metric that is shown in any case."""
    metric = results.objective.metric
    if metric is not None and metric.name == results.metric:
        return ""
    return f", {results.objective.text(row['score'])}"


def _not_tried(results: Results) -> list[str]:
    """Return a warning about trials that were not tried, with the values that have the fewest trials."""
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
    tried_values = f"; tried: {', '.join(missing)}" if missing else ""
    return [f"{len(results.not_tried)} of {results.size} trials were not tried (limit of time or trials){tried_values}"]


def _never_tried(results: Results) -> list[str]:
    """Return a warning about values that no trial has. The values of trials that are still to run do not count."""
    if not len(results):
        return []
    waiting = {entry for values in results.not_tried for entry in values.items()}
    named = [
        f"{name.replace('_', ' ')} {results.text(value)}"
        for name, values in results.never_tried.items()
        for value in [value for value in values if (name, value) not in waiting][:MANY]
    ]
    return [f"no trial has {', '.join(named)}: more trials or a larger budget would try them"] if named else []


def _without_result(results: Results) -> list[str]:
    """Return a warning about values that were tried, but that no usable trial has."""
    usable = [trial for trial in results.trials if trial.outcome == "ok"]
    named = []
    for axis in results.axes if usable else ():
        kept = {trial.values.get(axis) for trial in usable}
        lost = [value for value in results.axes[axis] if value not in kept]
        if axis == "learning_rate" or not lost:  # that rates at the ends diverge or stall is the rule
            continue
        for value in lost[:MANY]:
            outcomes = Counter(trial.outcome for trial in results.trials if trial.values.get(axis) == value)
            how = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
            named.append(f"{axis.replace('_', ' ')} {results.text(value)} ({how})")
    return [f"no usable trial has {', '.join(named)}"] if named else []


def _stopped(results: Results) -> list[str]:
    """Return warnings about trials that failed or were pruned."""
    warnings = []
    if failed := results.counts["failed"]:
        warnings.append(f"{failed} trial{'s' * (failed > 1)} raised an error; results.json has the traceback")
    if pruned := results.counts["pruned"]:
        were, they = ("1 trial was", "it") if pruned == 1 else (f"{pruned} trials were", "they")
        warnings.append(f"{were} pruned: with more epochs {they} might have become better")
    if late := sum(trial.outcome == "ok" and bool(trial.reason) for trial in results.trials):
        ended = "1 trial has" if late == 1 else f"{late} trials have"
        warnings.append(f"{ended} ended at the deadline, before the last epoch")
    return warnings


def _overfitting(results: Results) -> list[str]:
    """Return a warning if the best model is much better on its training images than on the validation images."""
    best, data = results.best, results.definition["data"]
    if (
        best is None
        or not is_image(data["input_shape"])
        or not data["classes"]
        or data.get("augment")
        or not best.history.get("accuracy")
    ):
        return []
    training = best.history["accuracy"][-1]
    if training - best.accuracy < GAP:
        return []
    return [
        f"the accuracy is {training:.1%} on the training images and {best.accuracy:.1%} on the validation images: "
        "try --augment flip,crop"
    ]


def _edges(results: Results, best: Mapping[str, Any]) -> list[str]:
    """Return warnings if the best learning rate or depth is at the edge of its range."""
    warnings = []
    space = results.definition["space"]
    for axis, ends in (("learning_rate", space["learning_rates"]), ("depth", space["depths"])):
        name, tried = axis.replace("_", " "), results.axes[axis]
        value = best[axis]
        lowest = value == tried[0] or _near(value, min(ends), max(ends))
        highest = value == tried[-1] or _near(value, max(ends), min(ends))
        if lowest and axis == "depth" and _is_smallest(results, best):
            continue
        if highest and axis == "depth" and (alike(results)["depth"] < value).any():
            continue  # a shallower network is as good
        if len(tried) > 1 and (lowest or highest) and not _lost_beyond(results, best, axis, lowest):
            side, direction = ("lowest", "lower") if lowest else ("highest", "higher")
            where = f"{side} tried" if value in (tried[0], tried[-1]) else f"near the {side}"
            warnings.append(
                f"the best {name} {results.text(value)} is at the edge of the range ({where}): search {direction} too"
            )
    return warnings


def _is_smallest(results: Results, best: Mapping[str, Any]) -> bool:
    """Return whether the family has no smaller network than the best one, so that there is none to search."""
    space = results.definition["space"]
    family = FAMILIES.get(space["family"])  # a space of one's own may have another family
    return family is not None and family.is_smallest(int(best["depth"]), {**space, **best})


def _lost_beyond(results: Results, best: Mapping[str, Any], axis: str, lower: bool) -> bool:
    """Return whether values beyond the best one were tried, and no trial with them is usable."""
    same = results.of({name: best[name] for name in results.axes if name != axis})
    sign = -1 if lower else 1
    beyond = [trial.outcome for trial in same if sign * (trial.values[axis] - best[axis]) > 0]
    return bool(beyond) and not set(beyond) & {"ok", "pruned", "failed"}


def _near(value: float, end: float, other_end: float) -> bool:
    return end != other_end and abs(math.log(value / end)) < NEAR * abs(math.log(other_end / end))


def _seeds(results: Results) -> list[str]:
    """Return warnings if the differences to the best configuration may be by chance."""
    if results.definition["seeds"] > 1 or results.confirmation is not None:
        return doubts(results)
    count = min(CONFIRMED, len(results.usable))
    whom = {1: "it", 2: "both"}.get(count, f"the best {count}")
    chance = "the score of the best" if count == 1 else "differences between trials"
    known = alike_on_examples(results) or f"{chance} may be chance"
    return [f"one seed: {known}; --confirm {count} trains {whom} with new seeds"]


def _moving(results: Results, best: Mapping[str, Any]) -> list[str]:
    """Return a warning if the moving statistics rank another configuration first."""
    other = ranked(results).sort_values("moving_score", kind="stable").iloc[0]
    if all(other[axis] == best[axis] for axis in results.axes):
        return []
    return [f"with the moving statistics another configuration would be the best: {results.words(other)}"]
