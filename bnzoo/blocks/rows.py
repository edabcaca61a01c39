"""Rows: the operations of a block in the order in which a figure draws them.

A row is a string such as `"norm act conv norm act conv add"`. `norm` and `act` are the norm and the activation, `add`
is the addition of the shortcut, and every other word is a linear layer. A row with two equal linear layers also
describes the blocks with another number of them. Two rows with a comma between them are two blocks in turn.
"""

_NOT_LINEAR = ("norm", "act", "add")


def start(row: str) -> str:
    """Return the operations before the first linear layer.

    The last block of a network leaves them to its end: a network of pre-activation blocks ends with a norm and an
    activation.
    """
    return " ".join(_words(row)[: _linear(row)[0]])


def after(row: str) -> str:
    """Return the operations that follow a linear layer which is not the last, up to the start of the next layer."""
    words, (first, *others) = _words(row), _linear(row)
    return " ".join(words[first + 1 : others[0] if others else None]).removesuffix(start(row)).strip()


def end(row: str) -> str:
    """Return the operations between the last linear layer and the addition."""
    return " ".join(_words(row)[_linear(row)[-1] + 1 :]).partition("add")[0].strip()


def repeated(row: str, layers: int) -> str:
    """Return the row of a block with another number of linear layers, if those of the row are equal."""
    words, linear = _words(row), _linear(row)
    if len({words[i] for i in linear}) > 1:
        return row
    first, last = linear[0], linear[-1]
    return " ".join((*words[:first], *words[first:last] * (layers - 1), *words[last:]))


def admits_fused_norm(row: str) -> bool:
    """Return whether the activation follows the norm of the same linear layer, so that one layer can replace both."""
    last = " ".join(_words(row)[_linear(row)[-1] + 1 :])
    return any("norm act" in part for part in (start(row), after(row), last))


def _linear(row: str) -> list[int]:
    return [i for i, word in enumerate(_words(row)) if word not in _NOT_LINEAR]


def _words(row: str) -> list[str]:
    return row.replace(",", " ").split()
