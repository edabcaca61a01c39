"""Results in, pictures, one HTML file and TensorBoard runs out."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnzoo.reports.html import write_report
    from bnzoo.reports.tensorboard import write_hparams

__all__ = ["write_hparams", "write_report"]

_HOMES = {"write_hparams": "tensorboard", "write_report": "html"}


# what reports a study needs the tuning engine, and what reports the health of a model must do without it
def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bnzoo.reports' has no attribute {name!r}")
    return getattr(importlib.import_module(f"bnzoo.reports.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
