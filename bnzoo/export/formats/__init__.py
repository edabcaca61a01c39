"""The export formats, one file each: a file of this folder that has a `FORMAT` adds a format.

A process that has neither Keras nor bnzoo loads this folder to run an artefact (see `bnzoo.export.runtimes`), and the
command line loads it for its help. So its files import each other relatively, and everything else inside functions.
"""

import importlib
import pkgutil

from .record import Format

_MODULES = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _MODULES if hasattr(module, "FORMAT")}

# each format with each quantization, by the name that the command line uses
VARIANTS: dict[str, tuple[Format, str | None]] = {
    format.name if quantization is None else f"{format.name}-{quantization}": (format, quantization)
    for format in FORMATS.values()
    for quantization in (None, *format.quantizers)
}
