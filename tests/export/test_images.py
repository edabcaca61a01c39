"""Image signatures, compared with Pillow and with the normalization in NumPy."""

import io
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image as Pillow
from tiers import tiered

import bnzoo
from bnzoo import export
from bnzoo.export.decoding import Pixels

LABELS = ["ant", "bee", "cat", "dog", "eel", "fox"]
MEAN, STD = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
SIZE = (24, 32)
# Pillow modes, and the format that stores each
KINDS = [
    *(("RGB", "PNG"), ("RGB", "JPEG"), ("L", "PNG"), ("L", "JPEG"), ("RGBA", "PNG"), ("LA", "PNG")),
    *(("P", "PNG"), ("1", "PNG"), ("CMYK", "JPEG")),
]


def picture(mode="RGB", size=(61, 45), seed=0):
    small = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), dtype=np.uint8)
    return Pillow.fromarray(small).resize(size, Pillow.Resampling.BICUBIC).convert(mode)


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def as_pillow(file, channels, size, resample=Pillow.Resampling.BICUBIC, crop=None):
    image = Pillow.open(io.BytesIO(file)).convert("L" if channels == 1 else "RGB")
    rows, columns = size

    def resized(image, columns, rows):
        return image.resize((columns, image.height), resample).resize((columns, rows), resample)

    if crop is not None:
        factor = max(rows / image.height, columns / image.width) / crop
        image = resized(image, int(image.width * factor + 1e-6), int(image.height * factor + 1e-6))
        left, top = (image.width - columns) // 2, (image.height - rows) // 2
        image = image.crop((left, top, left + columns, top + rows))
    return np.asarray(resized(image, columns, rows), np.float32).reshape(rows, columns, channels)


def pixels_of(folder, image, channels, size=SIZE, labels=None):
    """Export a model that returns its pixels, and return its signatures."""
    inputs = keras.Input((*size, channels), name="image")
    model = keras.Model(inputs, keras.layers.Identity(name="pixels")(inputs))
    export.saved_model(model, folder, image=image, labels=labels)
    return tf.saved_model.load(folder).signatures


# these cover every pair of values of two arguments; the other combinations are nightly
COMBINED = {(1, "bilinear", None), (3, "bicubic", None), (3, "bilinear", 0.875), (1, "bicubic", 0.875)}


@pytest.mark.parametrize(
    ("channels", "interpolation", "crop"),
    tiered(itertools.product((1, 3), export.image.INTERPOLATIONS, (None, 0.875)), slow=COMBINED),
)
def test_files_are_decoded_and_resized_as_pillow_does(tmp_path, channels, interpolation, crop):
    image = export.Image(interpolation=interpolation, crop=crop)
    serve = pixels_of(tmp_path / "1", image, channels)["serve_image_bytes"]
    sizes = [(61, 45), (20, 13), (32, 24), (300, 20)]
    files = [
        encoded(picture(mode, sizes[i % len(sizes)], seed=i), kind) for i, (mode, kind) in enumerate([*KINDS, *KINDS])
    ]
    outputs = serve(image_bytes=tf.constant(files))
    assert set(outputs["error"].numpy()) == {b""}
    resample = getattr(Pillow.Resampling, interpolation.upper())
    for file, pixels in zip(files, outputs["pixels"].numpy(), strict=True):
        np.testing.assert_array_equal(pixels, as_pillow(file, channels, SIZE, resample, crop))


@pytest.mark.slow
@pytest.mark.parametrize("preset", export.image.PRESETS)
def test_presets_are_those_of_keras_applications(tmp_path, preset):
    serve = pixels_of(tmp_path / "1", preset, 3)["serve_uint8"]
    levels = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3), dtype=np.uint8)
    pixels = serve(image=tf.constant(levels))["pixels"]
    if preset in ("raw", "unit"):
        expected = levels / {"raw": 1, "unit": 255}[preset]
    else:
        expected = keras.applications.imagenet_utils.preprocess_input(levels.astype("float32"), mode=preset)
    np.testing.assert_allclose(pixels, expected, rtol=1e-5, atol=1e-4)


@pytest.fixture(scope="module")
def served(tmp_path_factory, exported_here):
    """An exported image classifier, and its model."""
    keras.utils.set_random_seed(1)
    model = bnzoo.ResNetCifar(8, input_shape=(*SIZE, 3), classes=6, classifier_activation=None)
    folder = tmp_path_factory.mktemp("served") / "1"
    image = export.Image(MEAN, STD, bgr=True, max_pixels=10_000)
    report = exported_here(model, folder, image=image, labels=LABELS)
    return model, report, tf.saved_model.load(folder).signatures


def expected_of(model, levels):
    """Return the probabilities for levels of 0 to 255, computed with NumPy and the model."""
    logits = model.predict((levels[..., ::-1] - np.array(MEAN)) / np.array(STD), verbose=0).astype(np.float64)
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return odds / odds.sum(-1, keepdims=True)


def test_the_five_best_classes(served):
    model, report, signatures = served
    files = [encoded(picture(seed=seed), "PNG") for seed in range(4)]
    outputs = {name: t.numpy() for name, t in signatures["serve_image_bytes"](image_bytes=tf.constant(files)).items()}
    assert set(outputs) == {"logits", "probabilities", "label", "score", "error"}
    expected = expected_of(model, np.stack([as_pillow(file, 3, SIZE) for file in files]))
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)
    order = np.argsort(-outputs["probabilities"], axis=-1)[:, :5]
    np.testing.assert_array_equal(outputs["label"], np.array([label.encode() for label in LABELS], object)[order])
    np.testing.assert_array_equal(outputs["score"], np.take_along_axis(outputs["probabilities"], order, -1))
    assert report.difference <= report.tolerance


def test_levels_need_no_decoding(served):
    model, _, signatures = served
    levels = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
    outputs = signatures["serve_uint8"](image=tf.constant(levels))
    np.testing.assert_allclose(outputs["probabilities"], expected_of(model, levels.astype(float)), atol=1e-5)
    assert outputs["label"].shape == (3, 5)


BROKEN = {
    "empty": b"",
    "text": b"<html>404</html>",
    "half a JPEG": encoded(picture(), "JPEG")[:-200],
    "half a PNG": encoded(picture(), "PNG")[:200],
    "a PNG with a flipped byte": bytes(b ^ (i == 100) for i, b in enumerate(encoded(picture(), "PNG"))),
    "half a GIF": encoded(picture("P"), "GIF")[:-200],
    "half a BMP": encoded(picture(), "BMP")[:-200],
    "only the first bytes of a JPEG": b"\xff\xd8\xff",
    "another format": encoded(picture(), "TIFF"),
    "a BMP with a palette": encoded(picture("P"), "BMP"),
    "16 bits": encoded(Pillow.fromarray(np.zeros((3, 3), np.uint16)), "PNG"),
    "many pixels": encoded(Pillow.new("L", (101, 100)), "PNG"),
}
REASONS = {
    **dict.fromkeys(("empty", "text", "another format"), "it is no JPEG, PNG, GIF or BMP file"),
    "half a GIF": "its first frame is incomplete",
    "a BMP with a palette": "it is a BMP file with a palette, masks or compression",
    "16 bits": "it has 16 bits for each channel. It must have 8",
    "many pixels": "it has 100x101 pixels. At most 10000 are allowed",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_cannot_be_decoded_fails_alone(served, kind):
    serve = served[2]["serve_image_bytes"]
    good = encoded(picture(), "PNG"), encoded(picture(seed=1), "JPEG")
    alone = {name: t.numpy() for name, t in serve(image_bytes=tf.constant(good)).items()}
    found = serve(image_bytes=tf.constant([good[0], BROKEN[kind], good[1], BROKEN[kind]]))
    outputs = {name: t.numpy() for name, t in found.items()}
    message = "image_bytes[{}] cannot be decoded: " + REASONS.get(kind, "it is a damaged JPEG, PNG, GIF or BMP file")
    assert [error.decode() for error in outputs["error"]] == ["", message.format(1), "", message.format(3)]
    for name in ("label", "error"):
        np.testing.assert_array_equal(outputs[name][[0, 2]], alone[name])
    np.testing.assert_allclose(outputs["probabilities"][[0, 2]], alone["probabilities"], atol=1e-6)
    assert set(outputs["label"][[1, 3]].ravel()) == {b""}
    assert not outputs["score"][[1, 3]].any()
    assert not outputs["probabilities"][[1, 3]].any()


def test_a_batch_of_which_nothing_is_left(served):
    outputs = served[2]["serve_image_bytes"](image_bytes=tf.constant([b"nothing", b"whole"]))
    assert outputs["probabilities"].shape == (2, 6)
    assert all(outputs["error"].numpy())


def test_an_empty_batch_has_empty_outputs(served):
    inputs = {
        "serve": {"image": tf.zeros((0, *SIZE, 3))},
        "serving_default": {"image": tf.zeros((0, *SIZE, 3))},
        "serve_uint8": {"image": tf.zeros((0, 40, 40, 3), tf.uint8)},
        "serve_image_bytes": {"image_bytes": tf.constant([], tf.string)},
    }
    for name, arrays in inputs.items():
        outputs = served[2][name](**arrays)
        assert {output.shape[0] for output in outputs.values()} == {0}, name
        assert outputs["probabilities"].shape == (0, 6), name
        assert ("error" in outputs) == (name == "serve_image_bytes")


def test_what_is_too_long_and_narrow_to_be_resized():
    """`crop` enlarges the shorter side, so an image with one column would need gigabytes."""
    pixels = Pixels(export.Image(crop=0.5), (100, 100, 1))
    long = encoded(Pillow.new("L", (1, 2000)), "PNG")
    images, problems = pixels.decode_files(tf.constant([long, encoded(picture("L"), "PNG")]))
    assert problems.numpy().tolist() == [b"it is too long and narrow to be resized", b""]
    assert not images[0].numpy().any()
    with pytest.raises(tf.errors.InvalidArgumentError, match="too long and narrow"):
        pixels.from_levels(tf.zeros((1, 1, 2000, 1), tf.uint8))


def test_images_are_turned_upright(served):
    tags = Pillow.Exif()
    tags[0x112] = 8
    files = [encoded(picture(), "PNG", exif=tags), encoded(picture().transpose(Pillow.Transpose.ROTATE_90), "PNG")]
    turned, upright = served[2]["serve_image_bytes"](image_bytes=tf.constant(files))["logits"].numpy()
    np.testing.assert_array_equal(turned, upright)


@pytest.mark.slow
def test_classes_without_labels_are_numbers(tmp_path):
    model = bnzoo.ResNetCifar(8, input_shape=(8, 8, 1), classes=3)
    export.saved_model(model, tmp_path / "1", image="raw")
    outputs = tf.saved_model.load(tmp_path / "1").signatures["serve_uint8"](image=np.zeros((2, 8, 8, 1), np.uint8))
    assert set(outputs["label"].numpy().ravel()) == {b"0", b"1", b"2"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": "red"}, "`mean` must be finite numbers: one, or one for each channel. Received: mean='red'"),
        ({"mean": [1, float("nan")]}, "`mean` must be finite numbers"),
        ({"std": 0}, "`std` must be positive numbers: one, or one for each channel. Received: std=0"),
        ({"std": ()}, "`std` must be"),
        ({"interpolation": "cubic"}, "Unknown `interpolation`: 'cubic'. Did you mean 'bicubic'?"),
        ({"max_pixels": 0}, "`max_pixels` must be a positive integer. Received: max_pixels=0"),
        ({"crop": 1.5}, "`crop` must be a number above 0 and at most 1"),
    ],
)
def test_what_no_image_can_be(options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("?", r"\?")):
        export.Image(**options)


@pytest.mark.parametrize(
    ("image", "channels", "message"),
    [
        (export.Image(mean=(1.0, 2.0, 3.0)), 1, "`mean` must be one number or 1, one for each"),
        (export.Image(bgr=True), 1, "`bgr=True` needs a model of 3 channels"),
        ({"mena": 1}, 3, "`image` has an argument that `bnzoo.export.Image` does not have"),
    ],
)
def test_an_image_that_does_not_fit_the_model(tmp_path, image, channels, message):
    with pytest.raises(ValueError, match=message):
        pixels_of(tmp_path / "1", image, channels)
    assert list(tmp_path.iterdir()) == []
