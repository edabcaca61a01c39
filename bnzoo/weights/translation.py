"""Translation of the names of variables, and assignment of all variables of a model or none."""

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
    """Return the tensor unchanged: the conversion between two models of Keras."""
    return value


@dataclass(frozen=True)
class Naming:
    """The names of the variables of a family of networks in another library, the peer.

    Attributes:
        rows: Dict from names of bnzoo's layers (or `layer/variable`, if needed) to the names of the peer. Both have the
            same numbers in braces: `{i}` is a number, `{i-1}` the number below it. The first matching row applies.
        words: Dict from names of variables in bnzoo to those of the peer.
        separator: String between layer and variable in the names of the peer.
        head: String, the peer's layer for `logits`. Its tensors are left out if the model has no classifier.
        convert: Function of the path of a variable, the tensor of the peer and the shape of the variable. Returns the
            tensor with the axes in Keras' order.
        aliases: Dict from regular expressions of older spellings to their replacements.
        unused: Regular expression of tensors that inference does not need.
        zeros: Regular expression of variables that are zero if they are missing in a file.
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
        """Return the peer's name of a variable, or its own name if no row matches.

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
        """Return the peer's name of a variable of a layer."""
        return f"{layer}{self.separator}{variable}"

    def spelled(self, name: str) -> str:
        """Return a name of the peer in its present spelling."""
        for old, new in self.aliases.items():
            name = re.sub(old, new, name)
        return name


def _shifted(numbers: re.Match[str], braces: re.Match[str]) -> str:
    """Return the number for braces such as `{i-1}`."""
    return str(int(numbers[braces[1]]) + int(braces[2] or 0))


def transfer(model: keras.Model, tensors: Mapping[str, np.ndarray], naming: Naming, origin: str) -> keras.Model:
    """Assign a peer's tensors to the variables of a model: all of them, or none if one does not fit.

    Args:
        model: A model of bnzoo.
        tensors: Dict of arrays by the peer's names.
        naming: The names of the peer.
        origin: String, a description of the tensors, for messages.

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
    """Return each variable of a model with its value from a peer.

    Arguments and errors are those of `transfer`. The model is not changed, and need not have values.
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
            problem = f"the tensor {name!r} of shape {value.shape} is superfluous, the network has no variable for it"
            raise ValueError(_misfit(origin, problem))
    return values


def _converted(naming: Naming, path: str, shape: tuple, name: str, value: np.ndarray, origin: str) -> np.ndarray:
    try:
        converted = naming.convert(path, np.asarray(value, "float32"), shape)
    except (TypeError, ValueError) as error:
        problem = f"the tensor {name!r} of shape {value.shape} ({value.dtype}) cannot be a value of {path!r}"
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
