"""The result of a health check."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bnzoo.json_text import json_ready
from bnzoo.tools.health_check.findings import TITLES, Finding
from bnzoo.tools.health_check.thresholds import NEAR_ZERO

# the number of layers with the same finding that are named; the others are counted
_NAMED = 6


@dataclass(frozen=True, eq=False)
class NormHealth:
    """The measurements of one norm.

    Arrays have a value for each channel. An attribute that does not apply to a kind of norm is `None`: `drift` without
    moving statistics, for example, or `gamma` without a gamma.

    Attributes:
        kind: String, a name of `bnzoo.norms.list_norms()`.
        channels: Integer.
        frozen: Boolean, whether the norm is in inference mode in training too.
        momentum: Float, the weight of the former moving statistics in each update.
        initial: Boolean, whether the moving statistics have exactly their initial values.
        one_value: Boolean, whether a channel has a single value in most batches of the data.
        drift: Array, the distance of the moving mean from the mean of the data, in standard deviations of the data.
        deviation: Array, the moving standard deviation over that of the data.
        unusable: Array of booleans, the channels whose moving statistics are not finite, or whose variance is negative.
        gamma: Array, the absolute values of gamma.
        dead: Array of booleans, the channels that hardly vary over the data behind the norm or its activation.
        exploding: Array of booleans, the channels whose output is not finite or extremely large.
        activation: String, the activation right behind the norm.
        bounded: Boolean, whether the activation is flat on both sides.
        saturation: Float, the share of the outputs for which the activation is flat.
        dropout: The name and the rate of a dropout in front of the norm, with no layer in between that mixes values.
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
        """Return one number for each measure that applies: shares and medians over the channels."""
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
        """Return the measures as JSON, with summaries of those per channel. Numbers that are not finite are strings."""
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
    """The result of `bnzoo.tools.health`. `print` it, or write a page with figures with `report`.

    Attributes:
        model: String, the name of the model.
        steps: Integer, the number of training steps, or `None` if it is not known.
        norms: A dict of `NormHealth` by the name of the norm, in the order of the network.
        gradients: A dict by the name of the layer, in the order of the network: the norm of the gradient of the loss by
            the kernel, over the norm of the kernel. `None` if the gradients were not measured.
        findings: A list of `Finding`, one for each layer and kind.
        notes: A list of sentences on measurements that were not made, with the reasons.
    """

    model: str
    steps: int | None
    norms: dict[str, NormHealth]
    gradients: dict[str, float] | None
    findings: list[Finding]
    notes: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """`True` if there are no findings."""
        return not self.findings

    @property
    def verdict(self) -> str:
        """A summary in one line."""
        norms = _plural(len(self.norms), "norm")
        if self.healthy:
            return f"healthy: {norms}, nothing found; accuracy was not judged"
        return f"{_plural(len(self.findings), 'finding')} in {norms}"

    @property
    def groups(self) -> list[tuple[str, list[Finding]]]:
        """The findings by kind: the title of each kind, and its findings in the order of the network."""
        grouped: dict[str, list[Finding]] = {}
        for finding in self.findings:
            grouped.setdefault(finding.kind, []).append(finding)
        return [(TITLES[kind], findings) for kind, findings in grouped.items()]

    def __str__(self) -> str:
        lines = [self.verdict]
        for title, findings in self.groups:
            lines += ["", f"{title} ({_plural(len(findings), 'layer')})", f"  {findings[0].sentence}"]
            if others := [finding.layer for finding in findings[1:]]:
                more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
                lines.append(f"  The same: {', '.join(others[:_NAMED])}{more}")
        if self.notes:
            lines += ["", *(f"Note: {note}" for note in self.notes)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON. Numbers that are not finite are strings, since JSON has no such numbers."""
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
        """Write the report as one HTML file with figures, which needs no other file.

        Args:
            path: The file. Its folder must exist.

        Raises:
            ImportError: If matplotlib or jinja2 is not installed.
        """
        try:
            from bnzoo.reports.health import write_health
        except ImportError as error:
            raise ImportError(
                f"A report needs matplotlib and jinja2 ({error}): pip install 'bnzoo[tune]'. Without them, use "
                "`print(report)` or `report.to_dict()`"
            ) from error
        write_health(self, path)


def _spectrum(values: np.ndarray | None) -> dict[str, Any] | None:
    if values is None:
        return None
    least, middle, most = (float(statistic) for statistic in (values.min(), np.median(values), values.max()))
    return json_ready({"min": least, "median": middle, "max": most})


def _plural(count: int, word: str) -> str:
    return f"{count} {word}{'s' if count != 1 else ''}"
