"""The SavedModel."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .record import SERVE, Arrays, Format, Runner

if TYPE_CHECKING:
    import keras

    from bnzoo.export.image import Image
    from bnzoo.export.report import ExportReport
    from bnzoo.export.rows import RowEncoder

# the signature that TensorFlow Serving uses for a client who names none
_SERVING_DEFAULT = "serving_default"
# a signature of TensorFlow, which runs it when it loads a SavedModel
_INITIALIZER = "__saved_model_init_op"


def saved_model(
    model: "keras.Model",
    path: str | Path,
    *,
    fold: bool = True,
    image: "Image | str | None" = None,
    encoder: "RowEncoder | None" = None,
    labels: Sequence[str] | None = None,
    warmup: Sequence[int] | None = None,
    sample: Any = None,
    truth: Any = None,
    sign: str | Path | None = None,
) -> "ExportReport":
    """Export a model as a SavedModel that needs TensorFlow alone, and verify it before it appears.

    The signatures `serving_default` and `serve` have the input names of the model. An input without a name is `image`
    if it has the rank of images, else `input`; one of several inputs is `input_1`, `input_2` by its position. A
    classifier that ends in the layer `logits` of several units has the outputs `logits` and `probabilities`, one that
    ends in a softmax has `probabilities`, any other model the output names of the model. Outputs of the same name are
    numbered: `encoder_1`, `encoder_2`. A model for several labels an example that ends in the layer `label_logits` has
    the outputs `label_logits` and `probabilities`, the sigmoid of each. With `image` there are also

    - `serve_uint8`: `image`, uint8 of any height and width;
    - `serve_image_bytes`: `image_bytes`, the contents of JPEG, PNG, GIF (the first frame) or BMP files (without
      compression or palette), with 8 bits for each channel, turned upright by their EXIF orientation. A file that is
      damaged, of another kind, or of more pixels than the `max_pixels` of `Image`, has a message in the output `error`
      and zeros and empty strings in the others. It does not affect the other files of the batch.

    Both resize as Pillow does, scale as in training, and have the outputs `label` (the number of the class if there are
    no `labels`) and `score`, both `(batch, 5)`: the five best classes or labels. An empty batch has empty
    outputs.

    With `encoder` there is also `serve_rows`, which takes the columns of a table by name, each of the shape `(batch,)`:
    numbers as float64, with NaN for a missing value and 1 for true, and texts and dates as strings, with an empty one
    for a missing value. A date that cannot be read is a missing value. The names of the inputs are those of the
    columns, in which `_` replaces characters that TensorFlow does not allow; the manifest has them under `columns`. The
    outputs are those of the images. The artefact holds the encoder as `encoder.json`.

    Each weight is stored once. A process that can import neither Keras nor bnzoo runs the artefact. The folder appears
    only after its outputs were compared with those of the model, with `MANIFEST.json` (checksums, versions, signatures,
    folded layers, result of the comparison) and the examples for `verify`.

    Args:
        model: A built functional or Sequential `keras.Model`. One that computes in 16 bits is exported in float32.
        path: The folder to make, `<name>/<integer version>` for a model server, or `<name>`, in which the next version
            is made. No version is overwritten.
        fold: Boolean, whether batch norms are folded into the linear layers next to them.
        image: `Image`, or one of `"raw"` (levels of 0 to 255), `"unit"` (0 to 1), `"tf"`, `"torch"`, `"caffe"` (as in
            `keras.applications`): the scaling of images in training.
        encoder: The `bnzoo.data.TableEncoder` that encoded the rows in training.
        labels: Sequence of strings, the names of the classes, of the labels or of several targets in the order of the
            outputs, stored as the asset `labels.txt`.
        warmup: Sequence of integers, the batch sizes with which TensorFlow Serving calls every signature before the
            first request. Needs the extra `warmup`.
        sample: Array (or dict of arrays, by input name): the examples on which artefact and model are compared; by
            default drawn from a normal distribution.
        truth: Array, the classes, rows of labels or targets of the examples of `sample`. The accuracy of the model and
            of the artefact, or R², is then in the report and in `MANIFEST.json`, with its 95 % interval.
        sign: The path of a private key (Ed25519 or ECDSA, PEM, without a password), with which `MANIFEST.json` and so
            the checksums of all files are signed, in `MANIFEST.json.sig`; for `verify(key=)`. Needs the extra `sign`.

    Returns:
        An `ExportReport`.

    Raises:
        ValueError: If the model cannot be exported, or an argument does not fit it.
        ImportError: If an argument needs a package that is missing.
        FileExistsError: If the version exists.
        OSError: If the folder cannot be written.
        RuntimeError: If the artefact cannot be loaded, or differs from the model beyond the tolerance. Nothing is left.

    Examples:
    >>> report = bnzoo.export.saved_model(model, "serving/digits", labels=["cat", "dog"], image="torch")
    >>> serve = tf.saved_model.load(report.path).signatures["serve_image_bytes"]
    >>> serve(image_bytes=tf.constant([open("cat.jpeg", "rb").read()]))["label"]
    """
    from bnzoo.export.writing import export

    options = {"fold": fold, "image": image, "encoder": encoder, "labels": labels, "sample": sample, "truth": truth}
    options["sign"] = sign
    return export(FORMAT, model, path, **options, warmup=warmup)


def load(folder: Path) -> Runner:
    """Load an artefact with TensorFlow."""
    import tensorflow as tf

    with tf.device("CPU"):
        loaded = tf.saved_model.load(str(folder))

    def run(inputs: Arrays, signature: str = SERVE) -> Arrays:
        with tf.device("CPU"):
            outputs = loaded.signatures[signature](**{name: tf.constant(values) for name, values in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run


def faults(folder: Path, signatures: set[str]) -> Iterator[str]:
    """Find signatures that the manifest does not name: a server would answer with them, unverified.

    Args:
        folder: The folder of the SavedModel.
        signatures: Strings, the names of the signatures in the manifest, and the aliases.

    Yields:
        A sentence if there are further signatures, or some are missing.

    Raises:
        ValueError: If the SavedModel cannot be read. The message names the file.
    """
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    from bnzoo.reading import reading

    with reading(folder / "saved_model.pb", "a SavedModel") as path:
        content = SavedModel.FromString(path.read_bytes())
    offered = {name for graph in content.meta_graphs for name in graph.signature_def} - {_INITIALIZER}
    if offered != signatures:
        received = ", ".join(sorted(offered)) or "none"
        yield f"the SavedModel must have the signatures {', '.join(sorted(signatures))}. Received: {received}"


FORMAT = Format(
    "saved_model",
    export=saved_model,
    open=load,
    options=("image", "encoder", "warmup"),
    uses_tensorflow=True,
    aliases={_SERVING_DEFAULT: SERVE},
    faults=faults,
)
