"""The arguments of builders: unknown ones, named variants, and the depth of networks with equal stages."""

import functools
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, overload

import keras

from bnzoo.errors import unknown
from bnzoo.models.cards import ModelCard

P = ParamSpec("P")
Builder = Callable[..., keras.Model]

# as in keras.applications
POSITIONAL = (
    "include_top",
    "weights",
    "input_tensor",
    "input_shape",
    "pooling",
    "classes",
    "classifier_activation",
    "name",
)


def refuse_unknown(builder: Callable[P, keras.Model]) -> Callable[P, keras.Model]:
    """Let a builder refuse unknown arguments with a `ValueError` that suggests the nearest known one."""
    known = list(inspect.signature(builder).parameters)

    @functools.wraps(builder)
    def build(*arguments: P.args, **options: P.kwargs) -> keras.Model:
        for option in options:
            if option not in known:
                raise ValueError(
                    f"{unknown(f'argument of {builder.__name__}', option, known)}. "
                    f"Received: {option}={options[option]!r}"
                )
        return builder(*arguments, **options)

    return build


def preset(builder: Builder, **defaults: Any) -> Callable[[Callable[P, keras.Model]], Callable[P, keras.Model]]:
    """Give a function that passes its options to a builder the signature and, for `defaults`, other default values.

    Args:
        builder: The builder that the function calls.
        **defaults: Arguments of the builder with the default values of the function.
    """

    def decorate(function: Callable[P, keras.Model]) -> Callable[P, keras.Model]:
        own = {p.name: p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD}
        parameters = _with_defaults(builder, defaults)
        common = itertools.dropwhile(lambda p: p.name != POSITIONAL[0], parameters)
        further = [p.replace(kind=p.KEYWORD_ONLY) for p in common if p.name not in own]

        @functools.wraps(function)
        def build(*arguments: P.args, **options: P.kwargs) -> keras.Model:
            options.update({name: value for name, value in defaults.items() if name not in options})
            return function(*arguments, **options)

        vars(build)["__signature__"] = inspect.Signature([*own.values(), *further], return_annotation=keras.Model)
        return refuse_unknown(build)

    return decorate


@overload
def variant(
    builder: Callable[Concatenate[int, int, int, int, P], keras.Model],
    function: str,
    name: str,
    paper: str,
    figures: tuple,
    **fixed: Any,
) -> Callable[P, keras.Model]: ...


@overload
def variant(
    builder: Callable[Concatenate[Sequence[int], Any, P], keras.Model],
    function: str,
    name: str,
    paper: str,
    figures: tuple,
    **fixed: Any,
) -> Callable[P, keras.Model]: ...


def variant(
    builder: Builder,
    function: str,
    name: str,
    paper: str,
    figures: tuple,
    **fixed: Any,
) -> Builder:
    """Return a builder with fixed arguments: a named network.

    Type checkers take the signature to be that of the family without the arguments before `include_top`.

    Args:
        builder: The builder of the family.
        function: String, the name of the variant in Python.
        name: String, the name of the model for `bnzoo.create_model`.
        paper: String, the paper and the table.
        figures: Tuple, the `params`, `macs`, `accuracy`, `source` and `dataset` of its `ModelCard`.
        **fixed: Arguments of the builder. Arguments of the user have precedence.
    """
    parameters = list(_with_defaults(builder, {"name": name, **fixed}))
    positional = [p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in parameters if p.name in POSITIONAL]
    further = [p.replace(kind=p.KEYWORD_ONLY) for p in parameters if p.name not in POSITIONAL]

    def build(*arguments: Any, **options: Any) -> keras.Model:
        if len(arguments) > len(POSITIONAL):
            raise TypeError(
                f"{function}() takes {len(POSITIONAL)} positional arguments ({', '.join(POSITIONAL)}), but "
                f"{len(arguments)} were given. Pass the others by name"
            )
        given = dict(zip(POSITIONAL, arguments, strict=False))
        for argument in given.keys() & options.keys():
            raise TypeError(f"{function}() got multiple values for argument {argument!r}")
        options = {**given, **options}
        if options.get("weights") == "imagenet":
            # a late import: the weights import the models
            from bnzoo.weights import imagenet

            return imagenet(name, **{key: value for key, value in options.items() if key != "weights"})
        return builder(**{"name": name, **fixed, **options})

    build.__name__ = build.__qualname__ = function
    build.__module__ = "bnzoo"  # there pickle finds it
    build.__doc__ = _docstring(builder, function, paper, fixed)
    card = ModelCard(build, name, paper, *figures)
    vars(build).update(
        __signature__=inspect.Signature([*positional, *further], return_annotation=keras.Model), card=card
    )
    return build


# The variants of a `preset`, whose arguments type checkers cannot derive.
preset_variant: Callable[..., Builder] = variant


def _docstring(builder: Builder, function: str, paper: str, fixed: Mapping[str, Any]) -> str:
    arguments = ", ".join(f"{key}={value!r}" for key, value in fixed.items())
    return f"""Build {function} of {paper}: `bnzoo.{builder.__name__}({arguments}, ...)`.

    Args:
        *arguments: `{", ".join(POSITIONAL)}`.
        **options: The same arguments by name, and all others of `bnzoo.{builder.__name__}`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If an argument is unknown, does not apply, or is impossible.
    """


def _with_defaults(builder: Builder, defaults: Mapping[str, Any]) -> Iterable[inspect.Parameter]:
    for parameter in inspect.signature(builder).parameters.values():
        yield parameter.replace(default=defaults.get(parameter.name, parameter.default))


def stage_depth(depth: Any, step: int, rest: int) -> int:
    """Return the number of blocks of each stage: n for a depth of `step * n + rest`.

    Raises:
        ValueError: If there is no such n. The message states the rule and the nearest depth.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth <= rest or (depth - rest) % step:
        shortest = step + rest
        near = max(shortest, step * round((depth - rest) / step) + rest) if isinstance(depth, int) else shortest
        raise ValueError(
            f"`depth` must be {step}n+{rest} ({shortest}, {shortest + step}, {shortest + 2 * step}, ...), "
            f"nearest: {near}. Received: depth={depth!r}"
        )
    return (depth - rest) // step
