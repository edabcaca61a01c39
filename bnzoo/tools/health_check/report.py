"""What an examination of a model found."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bnzoo.json_text import json_ready
from bnzoo.tools.health_check.findings import TITLES, Finding
from bnzoo.tools.health_check.thresholds import NEAR_ZERO

# how many layers with the same finding are named before the rest is counted
_NAMED = 6


@dataclass(frozen=True, eq=False)
class NormHealth:
    """What was measured of one norm.

    Arrays have a value a channel. What has no meaning for a kind of norm is `None`: without moving statistics there is
    no drift, without a gamma no spectrum.

    Attributes:
        kind: String, a name of `bnzoo.norms.list_norms()`.
        channels: Integer.
        frozen: Boolean, whether the norm is in inference mode in training too.
        momentum: Float, what the moving statistics keep of themselves at each step.
        initial: Boolean, whether the moving statistics are exactly those that the norm was made with.
        one_value: Boolean, whether most batches of the data give a channel a single value.
        drift: Array, how far the moving mean is from the mean of the data, in standard deviations of the data.
        deviation: Array, the moving standard deviation over that of the data.
        unusable: Array of booleans, the channels whose moving statistics are not finite, or whose variance is negative.
        gamma: Array, the sizes of gamma.
        dead: Array of booleans, the channels that hardly vary over the data behind the norm or its activation.
        exploding: Array of booleans, the channels whose output is not finite or absurdly large.
        activation: String, the activation right behind the norm.
        bounded: Boolean, whether the activation is flat on both sides.
        saturation: Float, the share of the outputs at which the activation is flat.
        dropout: The name and the rate of a dropout in front of the norm with nothing between that mixes values.
    """

    kind: str
    channels: int
    dead: np.ndarray
    exploding: np.ndarray
    frozen: bool = False
    momentum: float | None = None
    initial: bool = False
    one_value: bool = False
    drift: np.ndarray | None = None
    deviation: np.ndarray | None = None
    unusable: np.ndarray | None = None
    gamma: np.ndarray | None = None
    activation: str | None = None
    bounded: bool = False
    saturation: float | None = None
    dropout: tuple[str, float] | None = None

    def scalars(self) -> dict[str, float]:
        """One number for each measure that there is: shares and medians over the channels."""
        return {
            "dead": float(self.dead.mean()),
            "exploding": float(self.exploding.mean()),
            **({} if self.saturation is None else {"saturation": self.saturation}),
            **{
                name: float(np.median(values))
                for name in ("drift", "deviation", "gamma")
                if (values := getattr(self, name)) is not None
            },
        }

    def to_dict(self) -> dict[str, Any]:
        """The measures as JSON, per-channel ones summed up; what is not finite is a string."""
        plain = ("kind", "channels", "frozen", "momentum", "initial", "one_value", "activation", "saturation")
        return {
            **{name: json_ready(getattr(self, name)) for name in plain},
            "dropout": None if self.dropout is None else {"layer": self.dropout[0], "rate": self.dropout[1]},
            "dead": float(self.dead.mean()),
            "exploding": float(self.exploding.mean()),
            **{name: _spectrum(getattr(self, name)) for name in ("drift", "deviation", "gamma")},
            "gamma_near_zero": None if self.gamma is None else float((self.gamma < NEAR_ZERO).mean()),
        }


@dataclass(frozen=True, eq=False)
class HealthReport:
    """What `bnzoo.tools.health` found. `print` it, or write a page with pictures with `report`.

    Attributes:
        model: String, the name of the model.
        steps: Integer, the steps of training that were assumed, or `None` if they are not known.
        norms: A dict of `NormHealth` by the name of the norm, in the order of the network.
        gradients: A dict by the name of the layer, in the order of the network: the norm of the gradient of the loss by
            the kernel, over the norm of the kernel. `None` if it was not measured.
        findings: A list of `Finding`, one a layer and kind.
        notes: A list of sentences: what was not measured, and why.
    """

    model: str
    steps: int | None
    norms: dict[str, NormHealth]
    gradients: dict[str, float] | None
    findings: list[Finding]
    notes: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    @property
    def verdict(self) -> str:
        """One line: whether the model is healthy, and what that was judged by."""
        norms = _plural(len(self.norms), "norm")
        if self.healthy:
            return f"healthy: {norms}, nothing found; accuracy was not judged"
        return f"{_plural(len(self.findings), 'finding')} in {norms}"

    @property
    def groups(self) -> list[tuple[str, list[Finding]]]:
        """The findings by kind: what the kind is called, and those of its layers in the order of the network."""
        grouped: dict[str, list[Finding]] = {}
        for finding in self.findings:
            grouped.setdefault(finding.kind, []).append(finding)
        return [(TITLES[kind], found) for kind, found in grouped.items()]

    def __str__(self) -> str:
        lines = [self.verdict]
        for title, found in self.groups:
            lines += ["", f"{title} ({_plural(len(found), 'layer')})", f"  {found[0].sentence}"]
            if others := [finding.layer for finding in found[1:]]:
                more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
                lines.append(f"  The same: {', '.join(others[:_NAMED])}{more}")
        if self.notes:
            lines += ["", *(f"Note: {note}" for note in self.notes)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON. What is not finite is a string, for JSON has no such numbers."""
        return {
            "model": self.model,
            "verdict": self.verdict,
            "healthy": self.healthy,
            "steps": self.steps,
            "norms": {name: norm.to_dict() for name, norm in self.norms.items()},
            "gradients": json_ready(self.gradients),
            "findings": [vars(finding).copy() for finding in self.findings],
            "notes": list(self.notes),
        }

    def report(self, path: str | Path) -> None:
        """Writes one HTML file with pictures that needs nothing else.

        Args:
            path: The file. Its folder must exist.

        Raises:
            ImportError: If matplotlib or jinja2 is not installed.
        """
        try:
            from bnzoo.reports.health import write_health
        except ImportError as error:
            raise ImportError(
                f"A report needs matplotlib and jinja2 ({error}): pip install 'bnzoo[tune]'. Without them there is "
                "`print(report)` and `report.to_dict()`"
            ) from error
        write_health(self, path)


def _spectrum(values: np.ndarray | None) -> dict[str, Any] | None:
    if values is None:
        return None
    least, middle, most = (float(statistic) for statistic in (values.min(), np.median(values), values.max()))
    return json_ready({"min": least, "median": middle, "max": most})


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"
