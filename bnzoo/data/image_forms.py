"""The one form of all images of a folder, by the headers of their files."""

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from bnzoo.data.decoded import Size
from bnzoo.data.each_file import each_file
from bnzoo.pictures.bounds import bounded
from bnzoo.pictures.form import Form
from bnzoo.reading import reading

_DEPTHS = {"uint8": "8 bits", "uint16": "16 bits", "int32": "32 bits", "float32": "float32"}
Value = TypeVar("Value")


def common_form(files: Sequence[Path], size: Size) -> Form:
    """Return the form of all images: in three channels if any has colours. Nothing is decoded.

    Args:
        files: Sequence of paths.
        size: Tuple `(height, width)` to which images are resized, or `None`.

    Raises:
        ValueError: If headers cannot be read, or images differ in size or depth. The message counts the files, and
            names some.
        OSError: If the permissions of a file do not allow to read it.
    """
    forms = each_file(lambda _, file: _form(file, size), files)
    _warn_of_unserved(files, forms)
    _check_alike(files, forms)
    return max(forms, key=lambda form: form.shape[-1])


def _form(file: Path, size: Size) -> Form:
    # loads TensorFlow
    from bnzoo.pictures.headers import form_of

    with reading(file, "an image") as path:
        form = form_of(bounded(path))
        return form if size is None else Form(form.dtype, (*size, form.shape[-1]), form.unserved)


def _warn_of_unserved(files: Sequence[Path], forms: Sequence[Form]) -> None:
    formats = Counter(form.unserved for form in forms if form.unserved)
    if not formats:
        return
    counts = ", ".join(f"{format}: {count}" for format, count in sorted(formats.items()))
    example = next(file for file, form in zip(files, forms, strict=True) if form.unserved)
    warnings.warn(
        f"`serve_image_bytes` of an exported model cannot decode {formats.total()} of {len(files)} images, such as "
        f"{example} ({counts}). Clients must send their pixels to `serve`, or 8-bit PNG or JPEG files. In the latter "
        "case, also train the model on such files.",
        stacklevel=6,
    )


def _check_alike(files: Sequence[Path], forms: Sequence[Form]) -> None:
    """Raise `ValueError` if the images differ in size or depth. The message names an image of the minority."""
    problems = []
    if odd_depth := _minority(files, [form.dtype.name for form in forms]):
        file, depth, common, count = odd_depth
        problems.append(
            f"{file}: its values have {_DEPTHS[depth]}, those of most images have {_DEPTHS[common]}; convert "
            f"all images to one depth ({count} of {len(files)} differ)"
        )
    if odd_size := _minority(files, [form.shape[:2] for form in forms]):
        file, (rows, columns), (height, width), count = odd_size
        problems.append(
            f"{file} has {rows}x{columns} pixels, most images have {height}x{width}; choose a size for all images, "
            f"`image_size=(64, 64)` or `--image-size 64` ({count} of {len(files)} differ)"
        )
    if problems:
        raise ValueError(". ".join(problems))


def _minority(files: Sequence[Path], values: Sequence[Value]) -> tuple[Path, Value, Value, int] | None:
    """Return a file with a rare value, the value, the commonest one, and the number of files that differ from it."""
    counts = Counter(values)
    common, count = counts.most_common(1)[0]
    if len(counts) == 1:
        return None
    file, value = next(pair for pair in zip(files, values, strict=True) if pair[1] != common)
    return file, value, common, len(files) - count
