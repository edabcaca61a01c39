"""State of layers other than weights, which the copies of the tools keep."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from bnzoo.tools import fold_batch_norm, replace_norm

L = keras.layers
TEXTS = tf.constant(["a", "b", "c d", "a"])


class Words(L.Layer):
    """A custom layer with a file as asset, inside another layer if `inside` is given."""

    def __init__(self, inside=False, **kwargs):
        super().__init__(**kwargs)
        self.inside, self.words = inside, []
        self.inner = L.StringLookup(output_mode="count") if inside else None
        self.dense = L.Dense(3) if inside else None

    def build(self, shape):
        if self.inside:
            self.dense.build((None, self.inner.vocabulary_size()))
        self.built = True

    def call(self, texts):
        if self.inside:
            return self.dense(self.inner(texts[:, None]))
        return tf.stack([tf.cast(texts == word, "float32") for word in self.words], -1)

    def compute_output_shape(self, shape):
        return (*shape, 3 if self.inside else len(self.words))

    def compute_output_spec(self, texts):
        return keras.KerasTensor(self.compute_output_shape(texts.shape), "float32")

    def get_config(self):
        return {**super().get_config(), "inside": self.inside}

    def save_assets(self, folder):
        Path(folder, "words.txt").write_text("\n".join(self.words))

    def load_assets(self, folder):
        self.words = Path(folder, "words.txt").read_text().split("\n")


def custom():
    layer = Words()
    layer.words = ["a", "b"]
    return layer


def around_a_lookup():
    layer = Words(inside=True)
    layer.inner.adapt(TEXTS)
    return layer


def adapted(layer):
    layer.adapt(TEXTS)
    return layer


LOOKUPS = {
    "integers": lambda: adapted(L.StringLookup()),
    "counts": lambda: adapted(L.StringLookup(output_mode="count")),
    "weighted words": lambda: adapted(L.TextVectorization(output_mode="tf_idf")),
    "a given vocabulary": lambda: L.StringLookup(vocabulary=["a", "b"]),
    "nested": lambda: keras.Sequential([keras.Input((), dtype="string"), adapted(L.StringLookup(output_mode="count"))]),
    "of someone's": custom,
    "inside a layer of someone's": around_a_lookup,
}


@pytest.mark.parametrize("case", LOOKUPS)
def test_vocabularies_are_copied(case):
    texts = keras.Input((), dtype="string")
    x = LOOKUPS[case]()(texts)
    x = L.Embedding(9, 3)(x) if len(x.shape) == 1 else x
    model = keras.Model(texts, L.BatchNormalization()(L.Dense(2)(x)))
    expected = np.asarray(model(TEXTS))
    for copy in (fold_batch_norm(model)[0], replace_norm(model, "batch", keep_function=True)):
        np.testing.assert_allclose(np.asarray(copy(TEXTS)), expected, rtol=1e-3, atol=1e-5)


def test_an_integer_lookup_is_copied():
    lookup = L.IntegerLookup()
    lookup.adapt(np.array([3, 7, 9, 3]))
    numbers = keras.Input((1,), dtype="int64")
    model = keras.Model(numbers, L.BatchNormalization()(L.Embedding(9, 3)(lookup(numbers))))
    copy = replace_norm(model, "group", keep_function=False)
    found = next(layer for layer in copy.layers if isinstance(layer, L.IntegerLookup))
    assert found.get_vocabulary() == lookup.get_vocabulary()
