"""Run as a script by `saved_model`: loads an artefact with TensorFlow alone and applies it.

Usage: `python -P loader.py SAVED_MODEL INPUTS.npz OUTPUTS.npz`
"""

import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the comparison is with one device's arithmetic


import numpy as np
import tensorflow as tf

# From here on importing them fails: an artefact that needs them must fail here and not at its first user.
sys.modules.update(keras=None, bnzoo=None)  # type: ignore[call-overload]

_BATCH = 256


def main(folder: str, source: str, target: str) -> None:
    """Applies the artefact to the arrays in `source` and writes its outputs to `target`."""
    serve = tf.saved_model.load(folder).signatures["serve"]
    with np.load(source) as file:
        inputs = dict(file)
    size = len(next(iter(inputs.values())))
    parts = [
        serve(**{name: tf.constant(x[start : start + _BATCH]) for name, x in inputs.items()})
        for start in range(0, size, _BATCH)
    ]
    outputs = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    np.savez(target, **outputs)  # type: ignore[arg-type]  # numpy takes any name


if __name__ == "__main__":
    main(*sys.argv[1:])
