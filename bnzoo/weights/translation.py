"""What the variables of a model are called elsewhere, and how they are filled: all of them or none."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras
import numpy as np

_NUMBER = re.compile(r"\{(\w+)([+-]\d+)?\}")
_NOTHING = r"(?!)"


def unchanged(path: str, value: np.ndarray, shape: tuple) -> np.ndarray:
    """The tensor as it is: the conversion between two models of Keras."""
    return value


@dataclass(frozen=True)
class Naming:
    """How a peer calls the variables of a family of networks.

    Attributes:
        rows: Dict from names of bnzoo's layers (or `layer/variable`, where that is needed) to the peer's. Both hold
            the same numbers in braces: `{i}` is a number, `{i-1}` the one below it. The first row that matches counts.
        words: Dict from bnzoo's name of a variable to the peer's.
        separator: String between layer and variable in the peer's names.
        head: String, the peer's layer for `logits`; its tensors are left out where the model has no classifier.
        convert: Function of a variable's path, the peer's tensor and the variable's shape; it brings the tensor to
            Keras' order of axes.
        aliases: Dict of regular expressions of older spellings to what stands there in the peer's present ones.
        unused: Regular expression of tensors that no inference needs.
        zeros: Regular expression of the variables that may be missing in a file and are zero then.
    """

    rows: Mapping[str, str]
    words: Mapping[str, str] = field(default_factory=dict)
    separator: str = "/"
    head: str = "predictions"
    convert: Callable[[str, np.ndarray, tuple], np.ndarray] = unchanged
    aliases: Mapping[str, str] = field(default_factory=dict)
    unused: str = _NOTHING
    zeros: str = _NOTHING

    def tensor(self, path: str) -> str:
        """The peer's name of a variable; the variable's own where no row matches.

        Args:
            path: String, `layer/variable` in bnzoo.
        """
        layer, _, variable = path.rpartition("/")
        for pattern, template in self.rows.items():
            whole = "/" in pattern
            match = re.fullmatch(_NUMBER.sub(r"(?P<\1>\\d+)", pattern), path if whole else layer)
            if match:
                name = _NUMBER.sub(partial(_shifted, match), template)
                return name if whole else self.join(name, self.words.get(variable, variable))
        return path

    def join(self, layer: str, variable: str) -> str:
        """The peer's name of a tensor."""
        return f"{layer}{self.separator}{variable}"

    def spelled(self, name: str) -> str:
        """A name of the peer's in its present spelling."""
        for old, new in self.aliases.items():
            name = re.sub(old, new, name)
        return name


def _shifted(numbers: re.Match[str], place: re.Match[str]) -> str:
    """The number that stands in a place such as `{i-1}`."""
    return str(int(numbers[place[1]]) + int(place[2] or 0))


def transfer(model: keras.Model, tensors: Mapping[str, np.ndarray], naming: Naming, origin: str) -> keras.Model:
    """Fills a model with a peer's tensors: each variable gets one and each tensor is used, or nothing is changed.

    Args:
        model: A model of bnzoo.
        tensors: Dict of arrays by the peer's names.
        naming: How the peer calls them.
        origin: String, what the tensors are, for messages.

    Returns:
        The model that was passed.

    Raises:
        ValueError: If a tensor is missing, superfluous or of another shape; the message names the first.
    """
    for variable, value in fitting(model, tensors, naming, origin):
        variable.assign(value)
    return model


def fitting(
    model: keras.Model, tensors: Mapping[str, np.ndarray], naming: Naming, origin: str
) -> list[tuple[Any, np.ndarray]]:
    """Pair each variable of a model with the value that a peer has for it.

    Takes and raises what `transfer` does. The model needs no values, and stays as it is.
    """
    tensors = {naming.spelled(name): value for name, value in tensors.items()}
    values: list[tuple[Any, np.ndarray]] = []
    used = set()
    for variable in model.weights:
        path, shape = variable.path, tuple(variable.shape)
        name = naming.tensor(path)
        if name in tensors:
            used.add(name)
            values.append((variable, _converted(naming, path, shape, name, tensors[name], origin)))
        elif re.fullmatch(naming.zeros, path):
            values.append((variable, np.zeros(shape, "float32")))
        else:
            raise ValueError(_misfit(origin, f"the tensor {name!r} for {path!r} of shape {shape} is missing"))
    if all(layer.name != "logits" for layer in model.layers):
        used |= {name for name in tensors if name.startswith(naming.join(naming.head, ""))}
    for name, value in tensors.items():
        if name not in used and not re.search(naming.unused, name):
            problem = f"the tensor {name!r} of shape {value.shape} is superfluous, the network has nothing to put it in"
            raise ValueError(_misfit(origin, problem))
    return values


def _converted(naming: Naming, path: str, shape: tuple, name: str, value: np.ndarray, origin: str) -> np.ndarray:
    try:
        converted = naming.convert(path, np.asarray(value, "float32"), shape)
    except (TypeError, ValueError) as error:
        problem = f"the tensor {name!r} of shape {value.shape} ({value.dtype}) is nothing that {path!r} could hold"
        raise ValueError(_misfit(origin, f"{problem}, whose shape is {shape}")) from error
    if converted.shape != shape:
        turned = "" if value.shape == converted.shape else f", {converted.shape} in Keras' order of axes"
        problem = f"the tensor {name!r} has the shape {value.shape}{turned}, but {path!r} has {shape}"
        raise ValueError(_misfit(origin, problem))
    return converted


def _misfit(origin: str, problem: str) -> str:
    return (
        f"The {origin} do not fit: {problem}. Nothing was changed. Check the name of the network, and `classes`, "
        "`include_top` and `input_shape` where they were passed"
    )
