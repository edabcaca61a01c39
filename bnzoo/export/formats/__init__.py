"""The export formats, one file each: a file of this folder that has a `FORMAT` adds a format.

A process that has neither Keras nor bnzoo loads this folder to run an artefact (see `bnzoo.export.runtimes`), and the
command line loads it for its help. So the files import each other relatively, and all else where it is used.
"""

import importlib
from pathlib import Path

from .record import Format

_MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem != "__init__")
_FOUND = (getattr(importlib.import_module(f"{__name__}.{name}"), "FORMAT", None) for name in _MODULES)
FORMATS: dict[str, Format] = {format.name: format for format in _FOUND if format is not None}

# each format with each quantization, by the name that the command line uses
VARIANTS: dict[str, tuple[Format, str | None]] = {
    format.name if quantization is None else f"{format.name}-{quantization}": (format, quantization)
    for format in FORMATS.values()
    for quantization in (None, *format.quantizers)
}
