"""The arguments that every builder takes: their order, and what their docstrings say."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import keras

from bnzoo.errors import unknown

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

_FIRST = """\
        include_top: Boolean, whether the classifier is part of the model.
        weights: `None` (random), the path of a `.weights.h5` file that Keras has saved from this model, or
            `"imagenet"` for those of keras.applications, where it has any for this network.
        input_tensor: Keras tensor to start from, instead of a new input.
        input_shape: Tuple without the batch dimension; `None` for a side of any size."""
_THEN = """\
        pooling: `None`, `"avg"` or `"max"`, for `include_top=False`.
        classes: Integer, the number of classes.
        classifier_activation: String or `None` (logits).
        name: String, the name of the model.
        norm: What normalizes: a name of `bnzoo.norms.list_norms()`, a dict with a `name` and options, a `bnzoo.Norm` or
            `None`."""
_RESIDUAL = """\
        residual_init: How a residual branch starts at zero: `"zero_gamma"` (the gamma of the norm that ends it, Goyal
            et al. 2017), `"skipinit"` (a trainable scalar, De & Smith 2020) or `None` (it does not).
        drop_path_rate: Float, the share of examples for which the last block leaves its branch out in training; the
            blocks before it less, in equal steps (Huang et al. 2016)."""


def family(builder: Builder) -> Builder:
    """Makes a family's builder of a function: unknown arguments are told, common ones are in the docstring.

    The words for the common arguments stand at `{first}`, `{then}` and `{residual}`.
    """
    text = builder.__doc__ or ""
    for place, words in {"{first}": _FIRST, "{then}": _THEN, "{residual}": _RESIDUAL}.items():
        text = text.replace(f"        {place}", words)
    builder.__doc__ = text
    known = list(inspect.signature(builder).parameters)

    @functools.wraps(builder)
    def build(*arguments: Any, **options: Any) -> keras.Model:
        for option in options:
            if option not in known:
                raise ValueError(
                    f"{unknown(f'argument of {builder.__name__}', option, known)}. "
                    f"Received: {option}={options[option]!r}"
                )
        return builder(*arguments, **options)

    return build


def variant(builder: Builder, function: str, name: str, paper: str, **fixed: Any) -> Builder:
    """A builder with some arguments given: one row of a paper's table.

    Args:
        builder: The builder of the family.
        function: String, the variant's name in Python.
        name: String, the model's name, which `bnzoo.create_model` takes.
        paper: String, where the variant is described.
        **fixed: Arguments of the builder; the user's own come before them.
    """

    def build(*arguments: Any, **options: Any) -> keras.Model:
        if len(arguments) > len(POSITIONAL):
            raise TypeError(
                f"{function}() takes {len(POSITIONAL)} positional arguments ({', '.join(POSITIONAL)}), "
                f"{len(arguments)} were given: pass the others by name"
            )
        given = dict(zip(POSITIONAL, arguments, strict=False))
        for twice in given.keys() & options.keys():
            raise TypeError(f"{function}() got multiple values for argument {twice!r}")
        options = {**given, **options}
        if options.get("weights") == "imagenet":
            # late: the weights know the models, and these know of them here alone
            from bnzoo.weights import imagenet

            return imagenet(name, **{key: value for key, value in options.items() if key != "weights"})
        return builder(**{"name": name, **fixed, **options})

    build.__name__ = build.__qualname__ = function
    vars(build).update(model_name=name, paper=paper)
    words = ", ".join(f"{key}={value!r}" for key, value in fixed.items())
    build.__doc__ = f"""{function}, {paper}: `bnzoo.{builder.__name__}({words}, ...)`.

    Args:
        *arguments: `{", ".join(POSITIONAL)}`.
        **options: The same by name, and all others of `bnzoo.{builder.__name__}`.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If an argument is unknown, does not apply, or is impossible.
    """
    return build


def stage_depth(depth: Any, step: int, rest: int) -> int:
    """The number of blocks of each stage: n, where the depth is step * n + rest.

    Raises:
        ValueError: If it is not; the message tells the rule and the nearest depth.
    """
    if isinstance(depth, bool) or not isinstance(depth, int) or depth <= rest or (depth - rest) % step:
        shortest = step + rest
        near = max(shortest, step * round((depth - rest) / step) + rest) if isinstance(depth, int) else shortest
        raise ValueError(
            f"`depth` must be {step}n+{rest} ({shortest}, {shortest + step}, {shortest + 2 * step}, ...), "
            f"nearest: {near}. Received: depth={depth!r}"
        )
    return (depth - rest) // step
