"""The record of an export format."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from bnzoo.export.report import ExportReport

Arrays = dict[str, "np.ndarray"]
Runner = Callable[..., Arrays]

# the signature that every artefact has
SERVE = "serve"


def _no_faults(folder: Path, signatures: set[str]) -> Iterator[str]:
    yield from ()


@dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        name: String, the name of its function in `bnzoo.export`, and of the extra that installs its packages.
        export: Function that exports a model, public as `bnzoo.export.<name>`.
        open: Function of the folder of an artefact that loads it on the CPU. It returns a function of a dict of arrays
            by input name and, by default `"serve"`, the name of a signature. That returns a dict of arrays by output
            name. Strings are bytes.
        convert: Function of the folder of a SavedModel and of an existing folder that writes the artefact. It may
            return notes for the report. The SavedModel has the one signature `serve`. Its names of inputs and outputs
            and its free batch dimension are kept. `None` for the SavedModel itself.
        quantizers: Dict of functions by quantization, such as `"int8"`. Each is a `convert` whose third argument is a
            dict of arrays by input name: the examples from which the ranges of the activations are taken.
        modules: Tuple of strings, the modules that the conversion and `open` import.
        packages: Tuple of strings, the distributions of these modules. The manifest records their versions.
        options: Tuple of strings, the arguments of `export` that no other format has.
        uses_tensorflow: Boolean, whether `open` needs TensorFlow.
        aliases: Dict of strings, other names under which an artefact offers a signature.
        faults: Function of the folder of an artefact and of the names of its signatures, aliases included, that yields
            a sentence for each fault.
        tolerance: Float, the largest difference between an output of the artefact and of the model, relative to the
            largest output. Folding and another graph reorder sums in float32.
        quantized_tolerance: Float, the same for a quantized artefact, whose values are rounded to 8 bits.
    """

    name: str
    export: "Callable[..., ExportReport]"
    open: Callable[[Path], Runner]
    convert: Callable[[Path, Path], list[str] | None] | None = None
    quantizers: Mapping[str, Callable[[Path, Path, Arrays], list[str] | None]] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    uses_tensorflow: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    faults: Callable[[Path, set[str]], Iterator[str]] = _no_faults
    tolerance: float = 1e-4
    quantized_tolerance: float = 0.25

    def tolerance_of(self, quantization: str | None) -> float:
        """Return the tolerance for a quantization, `None` for float32."""
        return self.tolerance if quantization is None else self.quantized_tolerance

    def require(self) -> None:
        """Check that the packages of the format are installed.

        Raises:
            ImportError: If one of them cannot be imported. The message names the extra to install.
        """
        try:
            for module in self.modules:
                importlib.import_module(module)
        except ImportError as error:
            raise ImportError(
                f"`bnzoo.export.{self.name}` needs the extra `{self.name}` ({error}): pip install 'bnzoo[{self.name}]'"
            ) from error
