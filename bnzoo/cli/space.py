"""The arguments of a space of configurations on the command line."""

import re
from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bnzoo.cli.console import UserError

if TYPE_CHECKING:
    from bnzoo.tuning import Space

# The help must not import the families, whose import takes seconds. A test compares.
FAMILIES = ("resnet", "densenet", "vit", "mlp")
# arguments of a space with options of their own
_OTHERS = ("optimizer", "momentum", "schedule", "warmup")
_OF_DATA = ("input_shape", "classes", "task", "scale", "target_scale")
_SECONDS = {"s": 1, "m": 60, "h": 3600}

_OPTIMIZERS = "sgd, adamw, muon or schedule_free_adamw"
Optimizer = Annotated[str | None, typer.Option(help=f"{_OPTIMIZERS}. By default sgd, for vit adamw.")]
Optimizers = Annotated[
    str | None,
    typer.Option("--optimizer", help=f"{_OPTIMIZERS}, or several: sgd,adamw. By default sgd, for vit adamw."),
]
_MOMENTUM = "of sgd, by default 0.9, or of muon, by default 0.95, from 0 to below 1"
Momentum = Annotated[float | None, typer.Option(help=f"The momentum {_MOMENTUM}.")]
Momenta = Annotated[str | None, typer.Option("--momentum", help=f"The momentum {_MOMENTUM}, or several: 0.8,0.9.")]
Schedules = Annotated[
    str | None,
    typer.Option(
        "--schedule",
        help="The learning rate in a trial and in the final training: warmup_cosine, linear, constant or half_cosine, "
        "or several: linear,warmup_cosine. By default half_cosine (a step each epoch) and in the final training "
        "warmup_cosine, for schedule_free_adamw constant after a warm-up of 0.05.",
    ),
]
Warmups = Annotated[
    str | None,
    typer.Option(
        "--warmup",
        help="The share of the steps in which the learning rate rises, or several: 0.05,0.2. By default 0.05, for "
        "constant 0.",
    ),
]
Placement = Annotated[str | None, typer.Option(help="The placement: pre, post, ... as for bnzoo tune.")]
Activation = Annotated[str | None, typer.Option(help="The name of an activation of Keras.")]
BatchSize = Annotated[
    int | None, typer.Option(help="The number of examples in a training batch. By default 16 to 128.")
]
WeightDecay = Annotated[float | None, typer.Option(help="The weight decay, relative to the learning rate.")]
BranchScale = Annotated[
    str | None,
    typer.Option(
        help="The factor on each residual branch: 1/depth, 1/sqrt(depth), a number, or none, which is the default. For "
        "mlp it needs --option residual=true; densenet has none."
    ),
]
Option = Annotated[
    list[str] | None,
    typer.Option(
        help="NAME=VALUE[,VALUE...], an argument of the builder of the family: growth_rate=8,12 or width=64. "
        "Repeatable."
    ),
]


def check_family(family: str) -> None:
    """Raise `UserError` if the family is unknown."""
    if family not in FAMILIES:
        from bnzoo.errors import unknown

        raise UserError(unknown("family", family, FAMILIES))


def refuse_several(axes: Mapping[str, Any], allowed: str, advice: str, besides: Collection[str] = ()) -> None:
    """Raise `UserError` if an axis has several values.

    Args:
        axes: Dict from `axes_of`.
        allowed: String, the beginning of the sentence with the rule: `"A training has"`.
        advice: String, what to do instead.
        besides: The axes that may have several values.
    """
    for name, values in axes.items():
        if name not in besides and isinstance(values, tuple | list) and len(values) > 1:
            received = ", ".join(map(str, values))
            word = "norm" if name == "norms" else name
            raise UserError(f"{allowed} one value of {word}. Received: {received}. {advice}")


def axes_of(
    depths: str | None,
    learning_rates: str | None,
    norms: str | None,
    placement: str | None,
    activation: str | None,
    batch_size: str | None,
    weight_decay: str | None,
    options: list[str],
    branch_scale: str | None = None,
) -> dict[str, Any]:
    """Return the arguments of a space."""
    axes = {
        "depths": depths and numbers("--depths", depths, ",", int, "whole numbers separated by commas: 8,14,20"),
        "learning_rates": learning_rates
        and numbers("--learning-rates", learning_rates, ":", float, "two positive numbers and a count: 1e-3:3:7"),
        "norms": norms and norms.split(","),
        "placement": placement and one_or_more(placement.split(",")),
        "branch_scale": branch_scale and one_or_more([value_of(part) for part in branch_scale.split(",")]),
        "activation": activation and one_or_more(activation.split(",")),
        "batch_size": batch_size
        and one_or_more(numbers("--batch-size", batch_size, ",", int, "whole numbers separated by commas: 32,128")),
        "weight_decay": weight_decay
        and one_or_more(numbers("--weight-decay", weight_decay, ",", float, "numbers separated by commas: 0,1e-3")),
    }
    given: dict[str, Any] = {}
    for text in options:
        name, values = assignment("--option", text)
        _check_option(name, known=(*axes, *_OTHERS), given=given)
        given[name] = one_or_more([value_of(part) for part in values.split(",")])
    return {**axes, **given}


def training_axes(
    optimizer: str | None, momentum: str | None, schedule: str | None, warmup: str | None
) -> dict[str, Any]:
    """Return the arguments of a space that concern the training of a trial."""
    floats = partial(numbers, separator=",", kind=float)
    return {
        "optimizer": optimizer and one_or_more(optimizer.split(",")),
        "momentum": momentum and one_or_more(floats("--momentum", momentum, example="numbers: 0.8,0.9")),
        "schedule": schedule and one_or_more(schedule.split(",")),
        "warmup": warmup and one_or_more(floats("--warmup", warmup, example="numbers: 0.05,0.2")),
    }


def _check_option(name: str, known: Collection[str], given: Collection[str]) -> None:
    """Check that an argument of the builder is new, has no option of this command, and does not follow from the data.

    Raises:
        UserError: If it is refused.
    """
    if name in given:
        raise UserError(f"--option {name} occurs twice. Separate several values by commas")
    if name in known:
        raise UserError(f"--option {name} is not allowed. Use --{name.replace('_', '-')}")
    if name in _OF_DATA:
        raise UserError(f"--option {name} is not allowed, as it follows from the data. Leave it out")


def space_of(family: str, axes: dict[str, Any]) -> "Space":
    """Return the space of a family with the arguments that are given."""
    from bnzoo.tuning.spaces import SPACES

    return SPACES[family](**{name: values for name, values in axes.items() if values is not None})


def needs_extra(command: str) -> None:
    """Raise `ImportError` if a package of the extra `tune` is missing."""
    try:
        import filelock  # noqa: F401
        import jinja2  # noqa: F401
        import keras_tuner  # noqa: F401
        import matplotlib  # noqa: F401
        import optuna  # noqa: F401
        import pandas  # noqa: F401
    except ImportError as error:
        raise ImportError(f"`bnzoo {command}` needs the extra `tune` ({error}): pip install 'bnzoo[tune]'") from error


def numbers(option: str, text: str, separator: str, kind: type, example: str) -> tuple:
    """Return the numbers of an option. Raise `UserError` if the text has another form."""
    try:
        return tuple(kind(part) for part in text.split(separator))
    except ValueError as error:
        raise UserError(f"{option} must be {example}. Received: {text!r}") from error


def one_or_more(values: Any) -> Any:
    """Return the only value, or a tuple of several values to search."""
    return values[0] if len(values) == 1 else tuple(values)


def assignment(option: str, text: str) -> tuple[str, str]:
    """Return the name and the value of NAME=VALUE. Raise `UserError` if the text has another form."""
    name, sign, value = text.partition("=")
    if not (name.isidentifier() and sign and value):
        raise UserError(f"{option} must be NAME=VALUE. Received: {text!r}")
    return name, value


def value_of(text: str) -> Any:
    """Parse a number, a boolean or `None`; any other text stays a string."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def seconds_of(text: str) -> float:
    """Return the seconds of a time such as 10m. Raise `UserError` if the text has another form."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", text)
    if not match or not float(match[1]):
        raise UserError(f"--budget must be a time such as 90s, 10m or 2h. Received: {text!r}")
    return float(match[1]) * _SECONDS[match[2] or "s"]
