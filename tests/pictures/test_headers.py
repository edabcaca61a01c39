"""Forms of image files by their headers, compared with those of their decoded pixels."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from bnzoo.pictures.headers import form_of
from bnzoo.pictures.read import read

DEEP = Image.fromarray(np.zeros((3, 4), np.uint16))
FRACTIONS = Image.fromarray(np.zeros((3, 4), np.float32))
CASES = [
    *((mode, "PNG", {}) for mode in ("RGB", "L", "LA", "P")),
    *((mode, "JPEG", {}) for mode in ("RGB", "L", "CMYK")),
    *((mode, "GIF", {}) for mode in ("L", "RGB")),
    *((mode, "BMP", {}) for mode in ("RGB", "L", "P")),
    *((mode, "TIFF", {}) for mode in ("RGB", "L", "P", "1")),
    *((mode, "WebP", {"lossless": True}) for mode in ("RGB", "RGBA")),
    (DEEP, "PNG", {}),
    (DEEP, "TIFF", {}),
    (FRACTIONS, "TIFF", {}),
    *(("RGB", kind, {"turned": turn}) for kind in ("PNG", "JPEG", "TIFF", "WebP") for turn in (3, 6)),
]


def encoded(image, kind, turned=1, **options):
    if isinstance(image, str):
        colours = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
        image = Image.fromarray(colours).convert(image)
    exif = Image.Exif()
    exif[274] = turned
    file = io.BytesIO()
    image.save(file, kind, **({"exif": exif} if turned > 1 else {}), **options)
    return file.getvalue()


@pytest.fixture(scope="module", autouse=True)
def _traced(tmp_path_factory):
    path = tmp_path_factory.mktemp("traced") / "file"
    path.write_bytes(encoded(DEEP, "PNG"))
    read(path.read_bytes())
    form_of(path)


def test_the_header_tells_the_form_of_the_pixels(tmp_path):
    for image, kind, options in CASES:
        content = encoded(image, kind, **options)
        (tmp_path / "file").write_bytes(content)
        levels, unserved = read(content)
        assert form_of(tmp_path / "file") == (levels.dtype, levels.shape, unserved), (image, kind, options)


def test_a_jpeg_header_may_be_long(tmp_path):
    content = encoded("RGB", "JPEG")
    comment = b"\xff\xfe\xff\xff" + bytes(2**16 - 3)
    (tmp_path / "file").write_bytes(content[:2] + 2 * comment + content[2:])
    assert form_of(tmp_path / "file").shape == (3, 4, 3)


@pytest.mark.parametrize("content", [b"no image", encoded("RGB", "JPEG")[:40], encoded("RGB", "TIFF")[:9]])
def test_a_damaged_header_is_refused_as_the_whole_file(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged|no PNG") as read_error:
        read(content)
    with pytest.raises(ValueError, match=re.escape(str(read_error.value))):
        form_of(tmp_path / "file")
