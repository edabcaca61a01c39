"""Each private member of Keras that bnzoo uses does what bnzoo needs; a failure names what a new Keras has changed."""

import pickle

import keras
import numpy as np

from bnzoo import keras_internals

L = keras.layers


def model():
    inputs = keras.Input((4,), name="in")
    x = L.Dense(3, name="first")(inputs)
    outputs = L.Add(name="sum")([L.Dropout(0.5, seed=1, name="drop")(x), x])
    return keras.Model(inputs, outputs, name="outer")


def names(layers):
    return [layer.name for layer in layers]


def test_layers_of_nested_models_are_listed_at_any_depth():
    outer = keras.Sequential([keras.Input((4,)), model(), L.ReLU(name="last")], name="around")
    assert {"around", "outer", "first", "drop", "sum", "last"} <= set(names(keras_internals.flatten_layers(outer)))
    inner = names(keras_internals.flatten_layers(outer, include_self=False, recursive=False))
    assert "outer" in inner
    assert "last" in inner
    assert "first" not in inner
    assert "around" not in inner


def test_a_model_that_follows_its_graph_is_told_from_one_that_does_not():
    class Overriding(keras.Model):
        def call(self, inputs):
            return super().call(inputs) + 1

    built = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    plain = model()
    assert keras_internals.functional_model(plain) is plain
    assert names(keras_internals.functional_model(built).layers[1:]) == names(built.layers)
    assert keras_internals.functional_model(keras.Sequential([L.Dense(2)])) is None
    assert keras_internals.functional_model(Overriding(plain.inputs, plain.outputs)) is None
    assert keras_internals.functional_model(L.Dense(2)) is None


def test_nodes_come_in_an_order_in_which_they_can_be_called():
    order = [node.operation.name for node in keras_internals.nodes(model())]
    assert order == ["in", "first", "drop", "sum"]


def test_a_symbolic_tensor_knows_its_operation():
    assert keras_internals.operation_of(model().outputs[0]).name == "sum"


def test_a_called_layer_knows_its_shapes():
    layer = model().get_layer("first")
    assert keras_internals.input_shape(layer) == (None, 4)
    assert keras_internals.output_shape(layer) == (None, 3)


def test_a_layer_holds_its_seed_generators():
    outer = model()
    drop = outer.get_layer("drop")
    assert keras_internals.seed_generators(drop) == [drop.seed_generator]
    assert keras_internals.seed_generators(outer.get_layer("sum")) == []


def test_recorded_losses_are_forgotten():
    class Penalized(L.Layer):
        def call(self, inputs):
            self.add_loss(keras.ops.sum(inputs))
            return inputs

    layer = Penalized()
    with keras.StatelessScope(collect_losses=True) as scope:
        layer(np.ones((2, 2), "float32"))
    assert layer._loss_ids
    keras_internals.forget_losses(layer, scope.losses)
    assert not layer._loss_ids


def test_a_compiled_model_remembers_its_arguments():
    outer = model()
    loss = keras.losses.MeanSquaredError()
    outer.compile("sgd", loss=loss, loss_weights=[2.0])
    arguments = keras_internals.compile_arguments(outer)
    assert arguments["loss"] is loss
    assert arguments["loss_weights"] == [2.0]


def test_an_optimizer_tells_its_variables():
    outer, optimizer = model(), keras.optimizers.SGD()
    optimizer.build(outer.trainable_variables)
    assert names(keras_internals.optimized_variables(optimizer)) == ["kernel", "bias"]


def test_exclusions_from_weight_decay_are_copied():
    kernel, bias = model().trainable_variables
    old, new = keras.optimizers.AdamW(), keras.optimizers.AdamW()
    for optimizer in (old, new):
        optimizer.build([kernel, bias])
    old.exclude_from_weight_decay([bias])
    assert new._use_weight_decay(bias)
    keras_internals.copy_weight_decay_exclusions(old, new)
    assert new._use_weight_decay(kernel)
    assert not new._use_weight_decay(bias)


def test_pickling_calls_one_function_for_all_layers():
    layer = L.Dense(2, name="pickled")
    layer.build((None, 3))
    function, arguments = layer.__reduce__()
    assert function == layer._unpickle_model
    assert keras_internals.unpickle(*arguments).name == "pickled"
    assert pickle.loads(pickle.dumps(layer)).name == "pickled"


def test_the_global_seed_generator_is_that_of_operations_without_a_seed():
    before = keras.ops.convert_to_numpy(keras_internals.global_seed_generator().state)
    first = keras.random.normal((3,))
    keras_internals.global_seed_generator().state.assign(before)
    np.testing.assert_array_equal(keras.random.normal((3,)), first)


def test_an_optimizer_has_a_schedule_or_a_number():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert keras_internals.schedule_of(keras.optimizers.SGD(schedule)) is schedule
    assert keras_internals.schedule_of(keras.optimizers.SGD(0.1)) is None
