"""Checks that the manifest of an artefact and its examples can prove that it agrees with its model."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from bnzoo.export.formats import FORMATS, VARIANTS
from bnzoo.export.formats.record import SERVE
from bnzoo.export.sample import Sample
from bnzoo.export.signatures import SERVE_IMAGE_BYTES, SERVE_UINT8

_NUMBERS = "biuf"


def faults_of_manifest(document: dict[str, Any]) -> Iterator[str]:
    """Find values in a manifest that no export has written.

    Args:
        document: The manifest, as `bnzoo.export.manifest.read` returns it.

    Yields:
        A sentence for each fault.
    """
    format, quantization, tolerance = document["format"], document.get("quantization"), document["parity"]["tolerance"]
    offered = document.get("signatures")
    needed = {SERVE} if document.get("image") is None else {SERVE, SERVE_UINT8, SERVE_IMAGE_BYTES}
    if not isinstance(offered, dict) or not needed <= set(offered):
        yield f"the manifest must name the signatures {', '.join(sorted(needed))}. Received: {_names(offered)}"
    known = FORMATS.get(format)
    if known is None or not (quantization is None or quantization in tuple(known.quantizers)):
        yield f"the format must be one of {', '.join(VARIANTS)}. Received: {_kind(document)}"
        return
    most = known.tolerance_of(quantization)
    number = isinstance(tolerance, int | float) and not isinstance(tolerance, bool)
    if not number or not 0 <= tolerance <= most:
        yield f"`tolerance` in the manifest must be from 0 to {most:g}. Received: {tolerance!r:.40}"


def _names(offered: Any) -> str:
    return ", ".join(sorted(offered)) if offered and isinstance(offered, dict) else "none"


def _kind(document: dict[str, Any]) -> str:
    return f"{document['format']!r:.40}, `quantization` {document.get('quantization')!r:.40}"


def faults_of_examples(document: dict[str, Any], inputs: Sample, outputs: Sample) -> Iterator[str]:
    """Find the reasons for which a comparison on the examples would prove nothing.

    Args:
        document: The manifest.
        inputs: Dict of the stored inputs by signature.
        outputs: Dict of the outputs of the model for them by signature.

    Yields:
        A sentence for each fault.
    """
    offered = set(document["signatures"])
    if set(inputs) != offered or set(outputs) != offered:
        yield (
            f"there must be examples for each signature: {', '.join(sorted(offered))}. Received: inputs for "
            f"{', '.join(sorted(inputs)) or 'none'}, outputs for {', '.join(sorted(outputs)) or 'none'}"
        )
        return
    for signature in sorted(offered):
        arrays = [*inputs[signature].values(), *outputs[signature].values()]
        sizes = {len(values) if values.ndim else 0 for values in arrays}
        if len(sizes) != 1 or sizes == {0}:
            yield (
                f"{signature!r} must have examples, the same number for each input and output. "
                f"Received: {sorted(sizes)}"
            )
        elif not all(values.dtype.kind in _NUMBERS or values.dtype == object for values in arrays):
            yield f"the examples of {signature!r} must be numbers or bytes"
        elif _chosen_by_nothing(outputs[signature]):
            yield f"the outputs of {signature!r} have labels, but not the probabilities to check them with"
        elif signature == SERVE and (fault := _fault_of_labels(document["labels"], outputs[SERVE])):
            yield fault
        elif signature == SERVE and sizes != {1} and _all_the_same(outputs[SERVE]):
            (count,) = sizes
            yield f"the outputs of the model are the same for all {count} examples, so a comparison proves nothing"


def _fault_of_labels(labels: list[str] | None, outputs: dict[str, np.ndarray]) -> str:
    classes = sorted({values.shape[-1] for values in outputs.values()})
    if labels is None or classes == [len(labels)]:
        return ""
    return f"`labels` in the manifest names {len(labels)} classes, but the outputs of {SERVE!r} have {classes}"


def _chosen_by_nothing(outputs: dict[str, np.ndarray]) -> bool:
    probabilities, label = outputs.get("probabilities"), outputs.get("label")
    return label is not None and (probabilities is None or probabilities.ndim != 2 or label.ndim != 2)


def notes(outputs: Sample) -> Iterator[str]:
    """Find weaknesses of a comparison that are no faults.

    Args:
        outputs: Dict of the outputs by signature.

    Yields:
        A sentence for each weakness.
    """
    if _count(outputs) == 1:
        yield "compared on one example only: an artefact with constant outputs would pass"


def proves_nothing(outputs: Sample) -> str:
    """Return a sentence if a comparison with these outputs proves nothing or little, else an empty string."""
    if _count(outputs) > 1 and _all_the_same(outputs[SERVE]):
        return (
            f"the outputs of the model are the same for all {_count(outputs)} examples of `sample`: the comparison "
            "proves nothing, and `verify` will refuse the artefact. Pass real examples as `sample`"
        )
    return next(notes(outputs), "")


def _count(outputs: Sample) -> int:
    return len(next(iter(outputs[SERVE].values())))


def _all_the_same(outputs: dict[str, np.ndarray]) -> bool:
    return all(bool((values == values[:1]).all()) for values in outputs.values())
