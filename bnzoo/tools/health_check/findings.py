"""The rules that turn measurements into findings, each with a remedy."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnzoo.norms.records import RECORDS
from bnzoo.tools.health_check.comparison import Disagreement
from bnzoo.tools.health_check.thresholds import (
    DEAD_SHARE,
    EXPLODING,
    EXPLODING_GRADIENT,
    LEFT_ENOUGH,
    LEFT_TOO_MUCH,
    OFF_DEVIATION,
    OFF_MEAN,
    OFF_SHARE,
    OTHER_CLASSES,
    OTHER_OUTPUTS,
    SATURATED,
    SATURATED_BOUNDED,
    UNFIT_DEVIATION,
    UNFIT_MEAN,
    VANISHING,
)

if TYPE_CHECKING:
    from bnzoo.tools.health_check.report import NormHealth

TITLES = {
    "batch_of_one": "Batches with a single value per channel",
    "never_moved": "Moving statistics that never moved",
    "frozen": "Frozen statistics that do not fit the data",
    "momentum": "Moving statistics that still hold their initial values",
    "drift": "Moving statistics that do not fit the data",
    "dropout": "Dropout in front of a norm",
    "exploding": "Exploding channels",
    "dead": "Dead channels",
    "saturation": "Saturated activations",
    "gradient_not_finite": "Gradients that are not finite",
    "exploding_gradient": "Exploding gradients",
    "vanishing_gradient": "Vanishing gradients",
}


_OF_STATISTICS = ("never_moved", "frozen", "momentum", "drift")
_RECALIBRATE = "`bnzoo.tools.recalibrate_batch_norm(model, data)`"
_GENTLER = "a lower learning rate, or `clipnorm` of the optimizer"


@dataclass(frozen=True)
class Finding:
    """A fault of a layer.

    Attributes:
        kind: String, the kind of the finding: `drift`, `dead`, ...
        layer: String, the name of the layer, or of the model for a finding about all norms together.
        sentence: String, a sentence with the layer, the measurement and the remedy.
    """

    kind: str
    layer: str
    sentence: str


def find(
    norms: Mapping[str, "NormHealth"], gradients: Mapping[str, float] | None, steps: int | None, at_start: bool
) -> list[Finding]:
    """Return the findings of single layers.

    Args:
        norms: By name, the measurements of each norm.
        gradients: By name, the gradient scale of each linear layer, or `None`.
        steps: The number of training steps, or `None` if it is not known.
        at_start: Boolean, whether a gamma of zeros and initial statistics are no faults yet.
    """
    findings = [
        Finding(kind, name, f"{name}: {sentence}")
        for name, norm in norms.items()
        for kind, sentence in _of_norm(norm, steps, at_start)
    ]
    # behind a norm of single values, the statistics of the data have no meaning
    if any(finding.kind == "batch_of_one" for finding in findings):
        findings = [finding for finding in findings if finding.kind not in _OF_STATISTICS]
    findings += [
        Finding(kind, name, f"{name}: {sentence}") for name, kind, sentence in _of_gradients(gradients or {}, at_start)
    ]
    order = list(TITLES)
    return sorted(findings, key=lambda finding: order.index(finding.kind))


def find_in_outputs(model: str, disagreements: Iterable[Disagreement], findings: list[Finding]) -> list[Finding]:
    """Return the findings with one about all moving statistics together, unless there is one about those of a norm.

    Args:
        model: String, the name of the model.
        disagreements: The measurements of each output.
        findings: The findings of single layers.
    """
    if any(finding.kind in ("batch_of_one", *_OF_STATISTICS) for finding in findings):
        return findings
    for share, examples, classes in disagreements:
        # the share is uncertain for a few examples
        limit = (OTHER_CLASSES if classes else OTHER_OUTPUTS) + 2 / math.sqrt(examples)
        if not share > limit:  # NaN is no evidence about the statistics
            continue
        measurement = (
            f"{share:.0%} of {examples} examples get another class"
            if classes
            else f"the outputs of {examples} examples change by {share:.2g} times their variance"
        )
        sentence = (
            f"{model}: its moving statistics, taken together, do not fit the data: with the statistics of the data, "
            f"{measurement}. Small differences in each norm add up, for example if the weights are averages (EMA, "
            f"schedule-free) and the statistics are not. Call {_RECALIBRATE}"
        )
        return [Finding("drift", model, sentence), *findings]
    return findings


def _of_norm(norm: "NormHealth", steps: int | None, at_start: bool) -> Iterator[tuple[str, str]]:
    for kind, sentence in (
        ("batch_of_one", _batch_of_one(norm)),
        _statistics(norm, steps),
        ("dropout", _dropout(norm)),
        ("exploding", _exploding(norm)),
        ("dead", _dead(norm, at_start)),
        ("saturation", _saturation(norm)),
    ):
        if sentence:
            yield kind, sentence


def _batch_of_one(norm: "NormHealth") -> str:
    if not norm.one_value:
        return ""
    return (
        "each batch of the data has a single value in a channel, whose variance is 0, so that in training the output "
        "of the norm is beta for any input. Use larger batches, or a norm with statistics of the sample: "
        '`bnzoo.tools.replace_norm(model, "group")`; for fine-tuning, `bnzoo.tools.freeze_batch_norm(model)`'
    )


def _statistics(norm: "NormHealth", steps: int | None) -> tuple[str, str]:
    """Return the kind and the sentence of a finding about moving statistics; no sentence if they fit the data."""
    if norm.drift is None or norm.deviation is None or norm.momentum is None:
        return "drift", ""
    kind, fault, remedy = "drift", "its moving statistics do not fit the data", f"Call {_RECALIBRATE}"
    wrong, unfit = _off(norm.drift, norm.deviation), _unfit(norm.drift, norm.deviation)
    if norm.frozen:
        kind, fault = "frozen", "it is frozen with statistics that do not fit the data"
        remedy = f"Set its `trainable` to True, call {_RECALIBRATE}, then `bnzoo.tools.freeze_batch_norm(model)` again"
    elif norm.initial:
        kind, fault = "never_moved", "its moving statistics have their initial values: no training step changed them"
        wrong = (wrong or unfit) and steps != 0
    elif steps and (left := norm.momentum**steps) > LEFT_TOO_MUCH:
        kind = "momentum"
        fault = f"{left:.0%} of the initial statistics is left after {steps} steps with momentum {norm.momentum:g}"
        remedy += f", or train with momentum={LEFT_ENOUGH ** (1 / steps):.2g}, which leaves {LEFT_ENOUGH:.0%}"
        wrong = wrong or unfit
    if norm.unusable is not None and norm.unusable.any():
        share = f"{norm.unusable.mean():.0%} of the channels"
        return kind, f"its moving statistics are not finite, or a variance is negative, in {share}. {remedy}"
    measurement = (
        f"the mean is {_median(norm.drift)} (at most {norm.drift.max():.2g}) standard deviations away from that of the "
        f"data, the standard deviation is {_median(norm.deviation)} times that of the data (medians over the channels)"
    )
    return kind, f"{fault}: {measurement}. {remedy}" if wrong else ""


def _off(drift: np.ndarray, deviation: np.ndarray) -> bool:
    """Return whether the statistics of more than a few channels are off; NaN is off."""
    fits = (drift <= OFF_MEAN) & (deviation <= OFF_DEVIATION) & (deviation >= 1 / OFF_DEVIATION)
    return bool((~fits).mean() > OFF_SHARE)


def _unfit(drift: np.ndarray, deviation: np.ndarray) -> bool:
    middle = np.median(deviation)
    return bool(np.median(drift) > UNFIT_MEAN or not 1 / UNFIT_DEVIATION <= middle <= UNFIT_DEVIATION)


def _dropout(norm: "NormHealth") -> str:
    if norm.dropout is None or norm.frozen or norm.momentum is None:
        return ""
    layer, rate = norm.dropout
    return (
        f"the dropout {layer} (rate {rate:g}) is in front of it. In training it multiplies the mean square of the "
        f"norm's input by 1/(1-p) = {1 / (1 - rate):.3g}, at inference it does not, and the moving variance is that of "
        f"training. Move {layer} behind the norm, ideally behind the last norm"
    )


def _exploding(norm: "NormHealth") -> str:
    share = norm.exploding.mean()
    if not share:  # a single channel is a fault, since it reaches every output of the next linear layer
        return ""
    fault = f"the output of {share:.0%} of the channels is not finite or has a root mean square above {EXPLODING:g}"
    if norm.drift is not None and norm.deviation is not None and _off(norm.drift, norm.deviation):
        return f"{fault}, with statistics that do not fit the data. Call {_RECALIBRATE}"
    return f"{fault}. Train again with {_GENTLER}"


def _dead(norm: "NormHealth", at_start: bool) -> str:
    share = norm.dead.mean()
    closed = norm.gamma is not None and not norm.gamma.any()
    if share <= DEAD_SHARE or (closed and at_start):
        return ""
    remedy = (
        "Train again with a lower learning rate, and without weight decay on gamma (`bnzoo.no_decay_variables(model)`)"
    )
    if "groups" in RECORDS[norm.kind].options:
        remedy += "; without positions, with fewer groups, since two values alone are normalized to -1 and 1"
    source = f"the norm or {norm.activation} behind it" if norm.activation else "the norm"
    return f"{share:.0%} of the channels hardly vary over the data behind {source}. {remedy}"


def _saturation(norm: "NormHealth") -> str:
    limit = SATURATED_BOUNDED if norm.bounded else SATURATED
    if norm.saturation is None or norm.saturation <= limit:
        return ""
    return (
        f"for {norm.saturation:.1%} of the values, {norm.activation} behind it is flat and lets no gradient through "
        f"(limit: {limit:.0%}). Train again with a lower learning rate; if gamma (median {_median(norm.gamma)}) or "
        "beta have grown, with a lower learning rate for them or weight decay on them"
    )


def _of_gradients(gradients: Mapping[str, float], at_start: bool) -> Iterator[tuple[str, str, str]]:
    scales = list(gradients.values())
    for index, (name, scale) in enumerate(gradients.items()):
        behind = max(filter(math.isfinite, scales[index:]), default=0.0)
        measurement = f"the gradient is {scale:.2g} times as large as the kernel"
        if not math.isfinite(scale):
            remedy = f"Look for NaN in the data and the weights; train again with {_GENTLER}"
            yield name, "gradient_not_finite", f"the gradient is not finite. {remedy}"
        elif scale > EXPLODING_GRADIENT:
            remedy = f"Train with {_GENTLER}; in a deep network, add residual connections"
            yield name, "exploding_gradient", f"{measurement}. {remedy}"
        elif scale < VANISHING * behind and not (at_start and scale == 0):
            remedy = "Add norms or residual connections behind it, or use an activation that is not flat on both sides"
            yield name, "vanishing_gradient", f"{measurement}, that of a layer behind it {behind:.2g} times. {remedy}"


def _median(values: np.ndarray | None) -> str:
    return "none" if values is None else f"{np.median(values):.2g}"
