"""Requests that TensorFlow Serving makes to itself before it answers the first one of a client."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from bnzoo.errors import positive_integers
from bnzoo.export.sample import Sample, repeated

PACKAGE = "tensorflow-serving-api"
# where TensorFlow Serving looks, and how many it takes
_FILE = Path("assets.extra", "tf_serving_warmup_requests")
_MOST = 1000
# one message of Protocol Buffers, which a request is, has no more bytes; all requests together are held in memory
_MOST_BYTES = 2**31 - 1


def log(inputs: Sample, sizes: Sequence[int]) -> list[bytes]:
    """The requests, encoded: each signature with each batch size.

    Args:
        inputs: Examples, by signature.
        sizes: Sequence of integers, the batch sizes.

    Raises:
        ValueError: If the sizes are not possible.
        ImportError: If the extra is not installed.
    """
    sizes = positive_integers("warmup", sizes, "batch sizes, as (1, 8)")
    if len(sizes) * len(inputs) > _MOST:
        raise ValueError(f"`warmup` must not make more than {_MOST} requests. Received: {len(sizes)} batch sizes")
    needed = sum(sizes) * sum(_bytes_of_one(values) for arrays in inputs.values() for values in arrays.values())
    if needed > _MOST_BYTES:
        raise ValueError(
            f"`warmup` must not make more than {_MOST_BYTES:,} bytes of requests: choose smaller batch sizes. "
            f"Received: warmup={list(sizes)}, which makes {int(needed):,}"
        )
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError as error:
        raise ImportError(f"`warmup` needs the extra `warmup` ({error}): pip install 'bnzoo[warmup]'") from error
    encoded = []
    for signature, arrays in inputs.items():
        for size in sizes:
            entry = prediction_log_pb2.PredictionLog()
            request = entry.predict_log.request
            request.model_spec.signature_name = signature
            for name, batch in repeated(arrays, size).items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(batch))
            encoded.append(entry.SerializeToString())
    return encoded


def _bytes_of_one(values: np.ndarray) -> float:
    size = values.nbytes if values.dtype != object else sum(map(len, values.flat))
    return size / len(values)


def write(folder: Path, requests: Sequence[bytes]) -> None:
    """Writes the requests where TensorFlow Serving looks for them."""
    (folder / _FILE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / _FILE)) as file:
        for request in requests:
            file.write(request)
