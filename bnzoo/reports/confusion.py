"""The confusion matrix of the best model."""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from bnzoo.training.measures import Measures

_MOST_NUMBERS = 20  # classes; the numbers of more do not fit into their cells
_MOST_NAMES = 40
_LONGEST = 16  # characters of a name
_FIRST = 5  # pairs in the caption


def confusion(measures: "Measures", narrow: bool = False) -> Figure:
    """Plot the share of the examples of each class for which each class is predicted, with their numbers."""
    matrix = np.array(measures.confusion)
    count = len(matrix)
    side = 4.6 if narrow else float(np.clip(0.45 * count + 1.8, 3.6, 8.5))
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if count <= _MOST_NUMBERS:
        size = min(9.0, 100 * side / count / 9)
        for (row, column), number in np.ndenumerate(matrix):
            if number:
                ink = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(number), ha="center", va="center", color=ink, fontsize=size)
    names = [textwrap.shorten(name, _LONGEST, placeholder="…") or name[:_LONGEST] for name in measures.labels]
    places = range(count) if count <= _MOST_NAMES else range(0)
    turned = 90 if max(map(len, names), default=0) > 3 else 0
    style: dict[str, Any] = {"fontsize": 8, "parse_math": False}  # a name may have dollar signs
    axes.set_xticks(places, names[: len(places)], rotation=turned, **style)
    axes.set_yticks(places, names[: len(places)], **style)
    axes.tick_params(length=0)
    axes.set(xlabel="predicted class", ylabel="class")
    return figure


def caption(measures: "Measures") -> str:
    """Return the caption of the figure, with the pairs of classes that are confused most."""
    matrix = np.array(measures.confusion)
    np.fill_diagonal(matrix, 0)
    order = np.argsort(-matrix, axis=None, kind="stable")[:_FIRST]
    pairs = [divmod(int(place), len(matrix)) for place in order]
    confused = [
        f"{measures.labels[row]} as {measures.labels[column]} ({matrix[row, column]})"
        for row, column in pairs
        if matrix[row, column]
    ]
    text = "Numbers are test examples. The colour is their share of the class."
    return f"{text} Confused most: {', '.join(confused)}." if confused else f"{text} None is confused."
