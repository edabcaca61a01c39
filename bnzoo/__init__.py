"""bnzoo: the model zoo for Keras 3 in which normalization is an argument."""

import importlib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import wrapt

if TYPE_CHECKING:
    from bnzoo import (  # noqa: F401
        blocks,
        data,
        export,
        layers,
        models,
        norms,
        optimizers,
        placements,
        reports,
        tools,
        training,
        tuning,
        weights,
    )
    from bnzoo.models import *  # noqa: F403
    from bnzoo.norms import Norm  # noqa: F401
    from bnzoo.tools import load_model, no_decay_variables  # noqa: F401
    from bnzoo.training import train  # noqa: F401

__version__ = "0.1.0"

_PARTS = {path.stem for path in Path(__file__).parent.iterdir() if path.is_dir() or path.suffix == ".py"}
_PUBLIC_PARTS = (
    "blocks",
    "data",
    "export",
    "layers",
    "models",
    "norms",
    "optimizers",
    "placements",
    "reports",
    "tools",
    "training",
    "tuning",
    "weights",
)
_HOMES = {"Norm": "norms", "load_model": "tools", "no_decay_variables": "tools", "train": "training"}


def _public(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f"bnzoo.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"bnzoo.{_HOMES[name]}"), name)
    if name == "__all__":
        return sorted({*_PUBLIC_PARTS, *_HOMES, *_models().__all__} - {"FAMILIES", "Macs", "count_macs"})
    if not name.startswith("_") and name in _models().__all__:
        return getattr(_models(), name)
    raise AttributeError(f"module 'bnzoo' has no attribute {name!r}")


if not TYPE_CHECKING:  # Type checkers would take every name to exist.
    __getattr__ = _public


def _models() -> ModuleType:
    return importlib.import_module("bnzoo.models")


def __dir__() -> list[str]:
    return [*globals(), *_public("__all__")]


# Keras takes seconds to import, and `bnzoo --help` needs none of it.
@wrapt.when_imported("keras")
def _register(keras: ModuleType) -> None:
    """Register the layers, losses and optimizers of bnzoo when Keras is imported, before bnzoo or after it."""
    for part in ("layers", "losses", "optimizers"):
        importlib.import_module(f"bnzoo.{part}")
