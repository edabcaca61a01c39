"""Reading of image files, compared with Pillow and with the decoder in a server's graph."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from bnzoo import data, export
from bnzoo.export.decoding import Pixels
from bnzoo.pictures.read import read

SIZE = (19, 26)


def picture(mode="RGB", size=SIZE):
    small = np.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)
    return image.quantize(60) if mode == "P" else image.convert(mode)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module", autouse=True)
def served():
    """A function that returns the pixels of files in a server's graph, and a mask of the decoded files."""
    for bits in (np.uint8, np.uint16):  # traces the decoder of each
        read(encoded(Image.fromarray(np.zeros((1, 1), bits)), "PNG"))
    decode = tf.function(Pixels(export.Image(), (*SIZE, 3)).decode_batch, autograph=False)
    concrete = decode.get_concrete_function(tf.TensorSpec((None,), tf.string))
    concrete(tf.constant([""]))  # the first call initializes it
    return lambda files: [tensor.numpy() for tensor in concrete(tf.constant(files))]


SERVED = [
    *((mode, "PNG") for mode in ("RGB", "L", "LA", "RGBA", "P", "1")),
    *((mode, "JPEG") for mode in ("RGB", "L", "CMYK")),
    *(("P", "GIF"), ("1", "GIF"), ("RGB", "BMP"), ("RGBA", "BMP"), ("L", "BMP")),
]
UNSERVED = [
    *(("P", "BMP"), ("1", "BMP"), ("RGB", "WebP"), ("RGBA", "WebP")),
    *((mode, "TIFF") for mode in ("RGB", "L", "CMYK", "P", "1")),
]


def test_pixels_are_those_of_pillow(served):
    files = [encoded(picture(mode), kind) for mode, kind in SERVED + UNSERVED]
    images, usable = served(files)
    assert usable.tolist() == [True] * len(SERVED) + [False] * len(UNSERVED)
    for (mode, kind), file, image in zip(SERVED + UNSERVED, files, images, strict=True):
        opened = Image.open(io.BytesIO(file))
        grey = opened.mode in ("1", "L", "LA")
        expected = np.asarray(opened.convert("L" if grey else "RGB")).reshape(*SIZE, 1 if grey else 3)
        levels, unserved = read(file)
        np.testing.assert_array_equal(levels, expected, f"{mode} {kind}")
        assert unserved == ("" if (mode, kind) in SERVED else kind)
        if not unserved:
            np.testing.assert_array_equal(image, np.broadcast_to(levels, image.shape), f"{mode} {kind}")


@pytest.mark.slow
def test_resized_images_are_served_with_the_pixels_of_training(tmp_path, served):
    random = np.random.default_rng(0)
    kinds = [(mode, kind) for mode, kind in SERVED if mode in ("RGB", "L", "P")]
    for number in range(4 * len(kinds)):
        mode, kind = kinds[number % len(kinds)]
        size = [int(side) for side in random.integers(1, 90, 2)]
        file = tmp_path / "ab"[number % 2] / f"{number:02}.{kind.lower()}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(encoded(picture(mode, size), kind))
    files = [path.read_bytes() for path in sorted(tmp_path.rglob("*.*"))]
    images, usable = served(files)
    assert usable.all()
    trained = [
        split.x for split in vars(data.load(tmp_path, image_size=SIZE)).values() if isinstance(split, data.Split)
    ]
    assert {x.tobytes() for x in images} == {x.tobytes() for x in np.concatenate(trained).astype(np.float32)}


def exif(orientation, order):
    """Return an EXIF block with two entries. The second is the orientation."""
    block = struct.pack(order + "HIHHHI2sHHHIHHI", 42, 8, 2, 0x10F, 2, 2, b"a\0", 0, 0x112, 3, 1, orientation, 0, 0)
    return b"Exif\0\0" + {"<": b"II", ">": b"MM"}[order] + block


@pytest.mark.parametrize(("kind", "order"), [("JPEG", "<"), ("JPEG", ">"), ("PNG", ">"), ("TIFF", "<")])
def test_images_are_turned_upright_as_their_exif_says(kind, order):
    for orientation in range(10):  # 0 and 9 are invalid
        if kind == "TIFF":
            tags = Image.Exif()
            tags[0x112] = orientation
            file = encoded(picture(), kind, exif=tags)
        else:
            file = encoded(picture(), kind, exif=exif(orientation, order))
        expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file))))
        assert expected.shape[:2] == (SIZE[::-1] if orientation in (5, 6, 7, 8) else SIZE)
        np.testing.assert_array_equal(read(file).levels, expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_damaged_exif_does_not_turn(kind):
    whole = exif(6, ">")
    blocks = [whole[:length] for length in range(6, len(whole) - 8, 3)]
    blocks += [whole.replace(b"MM", b"XX"), whole.replace(struct.pack(">I", 8), struct.pack(">I", 2**32 - 1))]
    for block in blocks:
        assert read(encoded(picture(), kind, exif=block)).levels.shape[:2] == SIZE, block
    assert read(encoded(picture(), kind, exif=whole)).levels.shape[:2] == SIZE[::-1]


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("RGB", "PNG"), ("P", "GIF"), ("RGB", "BMP")])
def test_what_is_read_is_served_and_the_other_way_round(served, mode, kind):
    random = np.random.default_rng(0)
    whole = encoded(picture(mode), kind)
    files = [whole[:-cut] for cut in (1, 2, 3, len(whole) // 2)] + [whole[:4], whole + b"more", b""]
    for index in random.integers(4, len(whole), 40):
        files.append(whole[:index] + bytes([random.integers(256)]) + whole[index + 1 :])
    images, usable = served(files)
    assert usable.any()
    assert not usable.all()
    for file, image, decoded in zip(files, images, usable, strict=True):
        try:
            levels, unserved = read(file)
        except ValueError:
            assert not decoded
            continue
        assert decoded == (not unserved)
        if decoded and levels.shape[:2] == SIZE:
            np.testing.assert_array_equal(image, np.broadcast_to(levels, image.shape))


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def huge():
    """Return small files that declare many pixels."""
    header = struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 0, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"0")) + chunk(b"IEND", b"")
    jpeg = bytearray(encoded(picture("L"), "JPEG"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", 60000, 60000)
    gif = bytearray(encoded(picture("P"), "GIF"))
    gif[6:10] = struct.pack("<HH", 60000, 60000)
    at = gif.index(b"\x2c\0\0\0\0")
    gif[at + 5 : at + 9] = gif[6:10]
    bmp = bytearray(encoded(picture(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 60000, -60000)
    palette = bytearray(encoded(picture("P"), "BMP"))
    palette[18:26] = struct.pack("<ii", 60000, 60000)
    tiff = encoded(picture("1"), "TIFF")
    for tag, side in ((256, SIZE[1]), (257, SIZE[0])):
        entry = struct.pack("<HHI", tag, 4, 1)
        assert entry + struct.pack("<I", side) in tiff
        tiff = tiff.replace(entry + struct.pack("<I", side), entry + struct.pack("<I", 12000))
    long = encoded(Image.new("L", (70000, 1)), "PNG")
    return [bytes(file) for file in (png, long, jpeg, gif, bmp, palette, tiff)]


def test_too_many_pixels_are_refused_before_they_are_decoded(served):
    files = huge()
    for file in files:
        with pytest.raises(ValueError, match=r"pixels. At most (67108864|65535 in a row or column) are allowed"):
            read(file)
    assert not served(files)[1].any()


def test_the_first_frame_of_a_moving_picture():
    frames = [picture("P"), Image.new("P", SIZE[::-1], 3)]
    file = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], comment=b"two frames", loop=0)
    assert Image.open(io.BytesIO(file)).n_frames == 2
    np.testing.assert_array_equal(read(file).levels, np.asarray(frames[0].convert("RGB")))
    at = file.index(b"\x2c\0\0\0\0")
    with pytest.raises(ValueError, match="its first frame does not cover the whole image"):
        read(file[: at + 5] + struct.pack("<HH", 4, 4) + file[at + 9 :])


def test_a_transparent_pixel_has_its_colour():
    image = Image.new("P", SIZE[::-1], 1)
    image.putpalette([9, 9, 9, 50, 60, 70])
    for kind in ("GIF", "PNG"):
        assert (read(encoded(image, kind, transparency=1)).levels == (50, 60, 70)).all()


@pytest.mark.parametrize(
    "content", [b"%!PS-Adobe-3.0 EPSF-3.0\n", b"P5 1 1 255\n0", b"\0\0\1\0\1\0", b"", b"GIF", b"RIFF"]
)
def test_no_other_format_is_opened(content):
    with pytest.raises(ValueError, match=r"it is no PNG, JPEG|it is damaged, or a kind of WebP file"):
        read(content)


def test_levels_of_16_bits_and_fractions_stay():
    random = np.random.default_rng(0)
    deep = random.integers(0, 2**16, SIZE, dtype=np.uint16)
    fractions = random.normal(size=SIZE).astype(np.float32)
    colour = tf.io.encode_png(np.stack([deep, deep.T.reshape(SIZE), deep[::-1]], -1)).numpy()
    for kind, unserved in (("PNG", "16-bit PNG"), ("TIFF", "TIFF")):
        levels, found = read(encoded(Image.fromarray(deep), kind))
        np.testing.assert_array_equal(levels[..., 0], deep)
        assert (levels.dtype, found) == (np.uint16, unserved)
    np.testing.assert_array_equal(read(colour).levels[..., 2], deep[::-1])
    np.testing.assert_array_equal(read(encoded(Image.fromarray(fractions), "TIFF")).levels[..., 0], fractions)
    fractions[3, 4] = np.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        read(encoded(Image.fromarray(fractions), "TIFF"))


def test_16_bits_that_pillow_would_cut_are_refused():
    """The file is a TIFF with one pixel of three 16-bit channels."""
    tags = [
        *((256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 3, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 14)),
        *((277, 3, 1, 3), (278, 3, 1, 1), (279, 4, 1, 6)),
    ]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    file = b"II*\0" + struct.pack("<I", 20) + struct.pack("<6H", 16, 16, 16, 1000, 2000, 3000)
    with pytest.raises(ValueError, match="16 bits for each of several channels"):
        read(file + struct.pack("<H", len(tags)) + entries + bytes(4))
