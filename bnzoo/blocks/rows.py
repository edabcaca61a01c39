"""Rows: the operations of a block in the order in which a figure draws them.

A row is a string such as `"norm act conv norm act conv add"`. `norm` and `act` are the norm and the activation, `add`
is the addition of the shortcut. Every other word is a linear layer, or, in a row that is applied, an operation that the
caller passes by name (`se`, `pool`). The rows of placements have no such operations.

A row with two equal linear layers also describes blocks with another number of them. Two rows with a comma between them
are two blocks in turn.
"""

import itertools

NOT_LINEAR = ("norm", "act", "add")


def start(row: str) -> str:
    """Return the operations before the first linear layer.

    A pre-activation network applies them once more after its last block.
    """
    return " ".join(_words(row)[: _linear(row)[0]])


def between(row: str) -> str:
    """Return the operations between two linear layers that belong to the first of them.

    They are `norm act` in `conv norm act conv norm add act`, and none in `norm act conv norm act conv add`.
    """
    words, (first, *others) = _words(row), _linear(row)
    return " ".join(words[first + 1 : others[0] if others else None]).removesuffix(start(row)).strip()


def end(row: str) -> str:
    """Return the operations between the last linear layer and the addition."""
    return " ".join(itertools.takewhile(lambda word: word != "add", _words(row)[_linear(row)[-1] + 1 :]))


def before_addition(row: str, *operations: str) -> str:
    """Return the row with further operations before the addition."""
    words = _words(row)
    at = words.index("add")
    return " ".join((*words[:at], *operations, *words[at:]))


def repeated(row: str, layers: int) -> str:
    """Return the row of a block with another number of linear layers, if those of the row are equal."""
    words, linear = _words(row), _linear(row)
    if len(linear) == layers or len({words[i] for i in linear}) > 1:
        return row
    first, last = linear[0], linear[-1]
    return " ".join((*words[:first], *words[first:last] * (layers - 1), *words[last:]))


def admits_fused_norm(row: str) -> bool:
    """Return whether the activation follows the norm of the same linear layer, so that one layer can replace both."""
    last = " ".join(_words(row)[_linear(row)[-1] + 1 :])
    return any("norm act" in part for part in (start(row), between(row), last))


def has_linear_layer(row: str) -> bool:
    """Return whether the row has a linear layer."""
    return bool(_linear(row))


def _linear(row: str) -> list[int]:
    return [i for i, word in enumerate(_words(row)) if word not in NOT_LINEAR]


def _words(row: str) -> list[str]:
    return row.replace(",", " ").split()
