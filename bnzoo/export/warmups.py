"""Warm-up requests, which TensorFlow Serving sends to a model before the first request of a client."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from bnzoo.errors import positive_integers
from bnzoo.export.sample import Sample, repeated

PACKAGE = "tensorflow-serving-api"
# the file that TensorFlow Serving reads, and the number of requests that it accepts
_FILE = Path("assets.extra", "tf_serving_warmup_requests")
_MOST = 1000
# the largest message of Protocol Buffers; it also bounds all requests together, which are held in memory
_MOST_BYTES = 2**31 - 1


def log(inputs: Sample, sizes: Sequence[int]) -> list[bytes]:
    """Return an encoded request for each signature and each batch size.

    Args:
        inputs: Dict of the examples by signature.
        sizes: Sequence of integers, the batch sizes.

    Returns:
        List of bytes.

    Raises:
        ValueError: If the sizes are invalid.
        ImportError: If the extra is not installed.
    """
    sizes = positive_integers("warmup", sizes, "batch sizes, as (1, 8)")
    if len(sizes) * len(inputs) > _MOST:
        raise ValueError(
            f"`warmup` must make at most {_MOST} requests, one for each signature and batch size. "
            f"Received: {len(sizes)} batch sizes for {len(inputs)} signatures"
        )
    needed = sum(sizes) * sum(_bytes_of_one(values) for arrays in inputs.values() for values in arrays.values())
    if needed > _MOST_BYTES:
        raise ValueError(
            f"`warmup` must make at most {_MOST_BYTES:,} bytes of requests. "
            f"Received: warmup={list(sizes)}, which makes {int(needed):,} bytes. Choose smaller batch sizes"
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
    """Write the requests to the file that TensorFlow Serving reads."""
    (folder / _FILE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / _FILE)) as file:
        for request in requests:
            file.write(request)
