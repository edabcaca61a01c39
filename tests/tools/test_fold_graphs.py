"""Folding of random graphs: the function stays the same, and every foldable norm is folded."""

from dataclasses import dataclass, field

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import L, assert_same_function, batch_norms

from bnzoo.tools import fold_batch_norm

CHANNELS = 4


@dataclass
class Builder:
    """A builder of random graphs of motifs. Each ends in an activation, so it is known if its norm folds."""

    data_format: str
    folded: set = field(default_factory=set)
    kept: set = field(default_factory=set)
    positive: set = field(default_factory=set)
    taps: list = field(default_factory=list)

    @property
    def axis(self):
        return -1 if self.data_format == "channels_last" else 1

    def norm(self, foldable, **options):
        name = f"norm_{len(self.folded) + len(self.kept)}"
        (self.folded if foldable else self.kept).add(name)
        return L.BatchNormalization(axis=self.axis, name=name, **options)

    def conv(self, kind="same", **options):
        options = {"data_format": self.data_format, **options}
        if kind == "grouped":
            return L.Conv2D(CHANNELS, 3, padding="same", groups=2, **options)
        if kind == "depthwise":
            return L.DepthwiseConv2D(3, padding="same", **options)
        if kind == "separable":
            return L.SeparableConv2D(CHANNELS, 3, padding="same", depth_multiplier=2, **options)
        if kind == "transposed":
            return L.Conv2DTranspose(CHANNELS, 3, padding="same", **options)
        return L.Conv2D(CHANNELS, 1 if kind == "pointwise" else 3, padding="same", use_bias=kind != "bare", **options)

    # the motifs: tensor in, tensor of the same shape out

    def behind_a_linear_layer(self, x, draw):
        kind = draw(st.sampled_from(["same", "bare", "grouped", "depthwise", "separable", "transposed", "pointwise"]))
        x = self.conv(kind)(x)
        between = draw(st.sampled_from([None, L.Dropout, L.Identity, L.ActivityRegularization]))
        x = between(0.3)(x) if between is L.Dropout else between()(x) if between else x
        return L.ReLU()(self.norm(True)(x))

    def two_in_a_row(self, x, draw):
        return L.ReLU()(self.norm(True)(self.norm(True)(self.conv()(x))))

    def between_activations(self, x, draw):
        return L.ReLU()(self.norm(False)(x))

    def before_a_pointwise_layer(self, x, draw):
        return L.ReLU()(self.conv("pointwise")(self.norm(True)(x)))

    def before_two_pointwise_layers(self, x, draw):
        y = self.norm(True)(x)
        return L.ReLU()(L.Add()([self.conv("pointwise")(y), self.conv("pointwise")(L.Dropout(0.5)(y))]))

    def before_padding(self, x, draw):
        return L.ReLU()(self.conv("same")(self.norm(False)(x)))

    def behind_an_activation_of_its_own(self, x, draw):
        return L.ReLU()(self.norm(False)(self.conv(activation="tanh")(x)))

    def with_a_second_reader(self, x, draw):
        y = self.conv()(x)
        return L.ReLU()(L.Add()([y, self.norm(False)(y)]))

    def whose_convolution_is_an_output(self, x, draw):
        y = self.conv()(x)
        self.taps.append(y)
        return L.ReLU()(self.norm(False)(y))

    def that_is_an_output(self, x, draw):
        y = self.norm(True)(self.conv()(x))
        self.taps.append(y)
        return L.ReLU()(y)

    def of_a_shared_convolution(self, x, draw):
        convolution = self.conv()
        return L.ReLU()(L.Add()([self.norm(False)(convolution(x)), convolution(L.ReLU()(x))]))

    def shared_with_its_convolution(self, x, draw):
        convolution, norm = self.conv(), self.norm(True)
        return L.ReLU()(L.Subtract()([norm(convolution(x)), norm(convolution(L.Activation("tanh")(x)))]))

    def shared_by_two_convolutions(self, x, draw):
        norm = self.norm(True)
        return L.ReLU()(L.Maximum()([norm(self.conv()(x)), norm(self.conv("grouped")(x))]))

    def behind_pooling(self, x, draw):
        positive = draw(st.booleans())
        norm = self.norm(positive)
        if positive:
            self.positive.add(norm.name)
        pool = L.MaxPooling2D(3, 1, padding="same", data_format=self.data_format)
        return L.ReLU()(norm(pool(self.conv()(x))))

    def in_training_mode(self, x, draw):
        return L.ReLU()(self.norm(False)(self.conv()(x), training=True))

    def frozen(self, x, draw):
        return L.ReLU()(self.norm(True, trainable=False)(self.conv()(x), training=True))

    def nested(self, x, draw, depth=0):
        inner_motifs = draw(st.lists(st.sampled_from(sorted(SELF_CONTAINED)), min_size=1, max_size=3))
        y = inputs = keras.Input(x.shape[1:])
        for motif in inner_motifs:
            y = getattr(self, motif)(y, draw)
        inner = keras.Model(inputs, y)
        if draw(st.booleans()):
            inner = keras.Sequential([keras.Input(x.shape[1:]), inner])
        if draw(st.booleans()):  # called twice
            return L.ReLU()(L.Subtract()([inner(x), inner(L.Activation("sigmoid")(x))]))
        return inner(x)


OUTPUTS = {"whose_convolution_is_an_output", "that_is_an_output"}
MOTIFS = {name for name, value in vars(Builder).items() if callable(value) and name[0] != "_"} - {"norm", "conv"}
SELF_CONTAINED = MOTIFS - OUTPUTS - {"nested"}


def test_every_motif_is_drawn_from():
    assert len(MOTIFS) == 17
    assert OUTPUTS < MOTIFS


ANY_GRAPH = given(data=st.data(), data_format=st.sampled_from(["channels_last", "channels_last", "channels_first"]))


@pytest.mark.slow
@ANY_GRAPH
@settings(max_examples=10)
def test_random_graphs_keep_their_function_and_fold_as_far_as_they_can(data, data_format):
    check_graph(data, data_format)


@pytest.mark.slow
@ANY_GRAPH
@settings(max_examples=100)
def test_many_random_graphs(data, data_format):
    check_graph(data, data_format)


def check_graph(data, data_format):
    builder = Builder(data_format)
    shape = (6, 6, CHANNELS) if data_format == "channels_last" else (CHANNELS, 6, 6)
    x = inputs = keras.Input(shape)
    for motif in data.draw(st.lists(st.sampled_from(sorted(MOTIFS)), min_size=1, max_size=5)):
        trunk = x
        x = getattr(builder, motif)(x, data.draw)
        if data.draw(st.booleans()):
            x = L.Add()([x, L.Activation("tanh")(trunk)])
            x = L.ReLU()(x)
    model = keras.Model(inputs, {"trunk": x, **{f"tap_{i}": tap for i, tap in enumerate(builder.taps)}})
    random_weights(model, builder.positive, data.draw(st.integers(0, 9)))

    folded, report = fold_batch_norm(model)

    assert {name.rpartition("/")[2] for name in report.folded} == builder.folded
    assert {name.rpartition("/")[2] for name in report.kept} == builder.kept
    assert {norm.name for norm in batch_norms(folded)} == builder.kept
    assert_same_function(model, folded)


def random_weights(model, positive, seed):
    random = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, L.BatchNormalization):
            sign = 1 if layer.name in positive else random.choice([-1, 1], CHANNELS)
            sign = sign if layer.name in positive else np.where(np.arange(CHANNELS) == 0, -1, sign)
            layer.gamma.assign(sign * random.uniform(0.5, 1.5, CHANNELS))
            layer.beta.assign(random.normal(size=CHANNELS))
            layer.moving_mean.assign(random.normal(size=CHANNELS))
            layer.moving_variance.assign(random.uniform(0.3, 2, CHANNELS))
        elif not list(layer._flatten_layers(include_self=False)):
            for weight in layer.weights:
                weight.assign(random.normal(size=weight.shape) * 0.4)
