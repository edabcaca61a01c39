"""The learning-rate range test: a short training in which the rate rises with each step."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, overload

import keras
import numpy as np

from bnzoo.data import Dataset
from bnzoo.errors import choice, is_finite, positive_integer, seed_number
from bnzoo.keras_internals import functional_model, schedule_of
from bnzoo.tools.batches import Batch, batches_of
from bnzoo.tools.health_check.labels import check_labels
from bnzoo.training.batches import training_batches
from bnzoo.training.options import default_batch_size, require_tensorflow
from bnzoo.training.recipe import check_input_shape, check_model
from bnzoo.training.variables import unchanged, unchanged_generators
from bnzoo.tuning.rates import RateTest, RateTests
from bnzoo.tuning.spaces import Space

RATES = (1e-6, 10.0)
STEPS, MOST_STEPS = 100, 100_000
ORDERS, MOST_ORDERS = 3, 1_000

# a function of the number of an order that returns endless batches
Orders = Callable[[int], Iterator[Batch]]


@overload
def rate_test(
    model: Space,
    data: Dataset,
    *,
    values: Mapping[str, Any] | None = ...,
    rates: Sequence[float] = ...,
    steps: int = ...,
    orders: int = ...,
    seed: int = ...,
) -> RateTests: ...


@overload
def rate_test(
    model: keras.Model,
    data: Any,
    *,
    batch_size: int | None = ...,
    rates: Sequence[float] = ...,
    steps: int = ...,
    orders: int = ...,
    seed: int = ...,
) -> RateTest: ...


def rate_test(
    model: keras.Model | Space,
    data: Any,
    *,
    values: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    rates: Sequence[float] = RATES,
    steps: int = STEPS,
    orders: int = ORDERS,
    seed: int = 0,
) -> RateTest | RateTests:
    """Find the usable learning rates of a model in one short training, the learning-rate range test.

    The rate rises geometrically with each step (Smith 2015, section 3.3; Smith 2018, section 4.1), and the loss of each
    batch is recorded. This is repeated in several orders of the data, each from the same weights. Afterwards the model
    is as before, bit for bit: weights, moving statistics, optimizer and random generators. A schedule in the optimizer
    is replaced for the test.

    The interval of usable rates begins where the loss falls fastest. It ends where the loss diverges or, as with batch
    norm, which keeps it finite, stalls. Test a model before its training: if no rate lowers the loss, there is no
    interval.

    Args:
        model: A compiled `keras.Model`, or a `bnzoo.tuning.Space` for a test of each depth and norm.
        data: A `bnzoo.data.Dataset`, of which the training data is used. For a model also a tuple `(x, y)` or
            `(x, y, sample_weight)` of arrays; a `tf.data.Dataset`, a `keras.utils.PyDataset` or any iterable of
            batches, of which the first `steps` are used. Data with fewer batches than steps is repeated.
        values: Dict, hyperparameters of a space that are not varied, such as `{"depth": 8}`. The others besides depth
            and norm have their first value.
        batch_size: Integer, the number of examples in a batch, for a model and a `Dataset` or arrays. By default 16 to
            64, from 20,000 examples 128. That of a space is its own.
        rates: Tuple of two floats, the first and the last rate.
        steps: Integer, the number of steps in each order, at least 20.
        orders: Integer, the number of orders of the data.
        seed: Integer, the seed of the orders, and of the weights of a space.

    Returns:
        A `RateTest`; for a space `RateTests` with one for each configuration.

    Raises:
        ValueError: If the model is not compiled, or is functional and does not fit the data; if its optimizer has
            several learning rates, or an argument is out of range.

    References:
        [Smith 2015](https://arxiv.org/abs/1506.01186); [Smith 2018](https://arxiv.org/abs/1803.09820).

    Examples:
    >>> found = bnzoo.tuning.rate_test(model, (x, y))
    >>> found.interval, found.suggested
    >>> model.optimizer.learning_rate = found.suggested
    >>> print(bnzoo.tuning.rate_test(bnzoo.tuning.ResNetSpace(), bnzoo.data.load("digits")))
    """
    require_tensorflow()
    positive_integer("orders", orders, MOST_ORDERS)
    positive_integer("steps", steps, MOST_STEPS)
    if steps < 20:
        raise ValueError(f"`steps` must be at least 20. Received: steps={steps}")
    raised = np.geomspace(*_range(rates), steps)
    if isinstance(model, Space):
        if batch_size is not None:
            raise ValueError("`batch_size` is an argument of the space. Pass it there")
        return RateTests(tuple(each_test(model, data, values or {}, raised, orders, seed)))
    if values is not None:
        raise ValueError("`values` is for a space. Omit it for a model")
    seed_number("seed", seed, bits=31)
    _check(model)
    with unchanged_generators():  # data of one's own may draw from them
        batches = _orders_of(model, data, batch_size, steps, seed)
    return RateTest(model.name, raised, _losses(model, batches, raised, orders))


def each_test(
    space: Space,
    data: Dataset,
    fixed: Mapping[str, Any],
    rates: np.ndarray | None = None,
    orders: int = ORDERS,
    seed: int = 0,
) -> Iterator[RateTest]:
    """Yield the test of each depth and norm of a space. See `rate_test`.

    Args:
        space: The `Space`.
        data: The `Dataset`.
        fixed: Dict, hyperparameters that are not varied.
        rates: Array, the rate of each step.
        orders: Integer.
        seed: Integer.
    """
    if not isinstance(data, Dataset):
        raise ValueError(f"`data` must be a `bnzoo.data.Dataset` for a space. Received: {type(data).__name__}")
    seed_number("seed", seed, bits=31)
    rates = np.geomspace(*RATES, STEPS) if rates is None else rates
    space = space.for_data(data)
    space.check()
    axes = {name: labels for name, labels in space.axes().items() if name != "learning_rate"}
    if not isinstance(fixed, Mapping):
        raise ValueError(f"`values` must be a dict, such as {{'depth': 8}}. Received: {fixed!r}")
    for name, value in fixed.items():
        choice(f"values[{name!r}]", value, axes[choice("values", name, axes)])
    first = {name: labels[0] for name, labels in axes.items()} | dict(fixed)
    named = ("depth", "norm", *(name for name in fixed if name not in ("depth", "norm")))
    varied = {name: [fixed[name]] if name in fixed else axes[name] for name in ("depth", "norm")}
    for depth, norm in itertools.product(*varied.values()):
        values = {**first, "depth": depth, "norm": norm}
        model = space.build_configuration({**values, "learning_rate": space.learning_rates[0]}, seed)
        batches = _orders_of(model, data, space.batch_size_of(values), len(rates), seed)
        name = f"{space.family.name}, " + ", ".join(f"{name} {values[name]}" for name in named)
        yield RateTest(name, rates, _losses(model, batches, rates, orders), values)


def _losses(model: keras.Model, batches: Orders, rates: np.ndarray, orders: int) -> np.ndarray:
    """Return the loss of each batch in each order, of shape `(orders, steps)`."""
    if not model.built:
        model(next(batches(0)).x)
    if not model.trainable_variables:
        raise ValueError("`model` has no trainable weights. Set `trainable` of its layers and compile it again")
    with model.distribute_strategy.scope():
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
    losses = np.full((orders, len(rates)), np.inf)
    with _settable_rate(model) as set_rate:
        for order in range(orders):
            with unchanged(model):
                for step, (rate, batch) in enumerate(zip(rates, batches(order), strict=False)):
                    _check_batch(model, batch)
                    set_rate(rate)
                    logs = model.train_on_batch(batch.x, batch.y, batch.sample_weight, return_dict=True)
                    if not np.isfinite(logs["loss"]):
                        break
                    losses[order, step] = logs["loss"]
            model.reset_metrics()
    return losses


@contextmanager
def _settable_rate(model: keras.Model) -> Iterator[Callable[[float], None]]:
    """Yield a function that sets the learning rate. A schedule is replaced by a variable in the block."""
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    schedule = schedule_of(optimizer)
    if schedule is None:
        yield lambda rate: setattr(optimizer, "learning_rate", float(rate))
        return
    variable = keras.Variable(0.0, trainable=False, name="learning_rate")
    # the compiled training step has the schedule in it, and that of the test the variable
    compiled, model.train_function = model.train_function, None
    optimizer.learning_rate = lambda: variable.value
    try:
        yield lambda rate: variable.assign(rate)
    finally:
        optimizer.learning_rate, model.train_function = schedule, compiled


def _orders_of(model: keras.Model, data: Any, batch_size: int | None, steps: int, seed: int) -> Orders:
    """Return a function of the number of an order that returns endless batches of the data in that order."""
    if isinstance(data, Dataset):
        if functional_model(model) is not None:
            check_model(model, data)
        size = min(_size(batch_size, len(data.train.x)), len(data.train.x))
        return lambda order: (Batch(*batch) for batch in training_batches(data, size, seed + order))
    if isinstance(data, tuple | dict) or hasattr(data, "shape"):
        arrays = data if isinstance(data, tuple) else (data,)
        if len(arrays) > 3:
            raise ValueError(f"`data` must be `(x, y)` or `(x, y, sample_weight)`. Received: a tuple of {len(arrays)}")
        next(batches_of(data, None, 1))  # checks the arrays
        count = len(keras.tree.flatten(arrays)[0])
        size = min(_size(batch_size, count), count)
        return lambda order: _shuffled(arrays, count, size, seed + order)
    if batch_size is not None:
        raise ValueError("`batch_size` is for arrays and a `bnzoo.data.Dataset`. This `data` is in batches: omit it")
    held = list(batches_of(data, steps, 1))
    return lambda order: _in_order(held, seed + order)


def _size(batch_size: int | None, examples: int) -> int:
    return default_batch_size(examples) if batch_size is None else positive_integer("batch_size", batch_size)


def _shuffled(arrays: tuple, count: int, size: int, seed: int) -> Iterator[Batch]:
    """Yield whole batches of arrays without end, each pass in another order."""
    random = np.random.default_rng(seed)

    def chosen(part: Any, rows: np.ndarray) -> Any:
        return None if part is None else keras.tree.map_structure(lambda array: np.asarray(array)[rows], part)

    while True:
        for rows in random.permutation(count)[: count // size * size].reshape(-1, size):
            yield Batch(*(chosen(part, rows) for part in arrays))


def _in_order(batches: list[Batch], seed: int) -> Iterator[Batch]:
    """Yield batches without end, each pass in another order."""
    random = np.random.default_rng(seed)
    while True:
        for number in random.permutation(len(batches)):
            yield batches[number]


def _check(model: Any) -> None:
    """Raise `ValueError` if a model cannot be tested."""
    if not isinstance(model, keras.Model):
        raise ValueError(
            f"`model` must be a compiled `keras.Model` or a `bnzoo.tuning.Space`. Received: {type(model).__name__}"
        )
    if not model.compiled or model.optimizer is None:
        raise ValueError(f"`model` must be compiled with an optimizer. Call `compile` first. Received: {model.name}")
    if isinstance(model.optimizer, keras.optimizers.MultiOptimizer):
        raise ValueError(
            "`model` is compiled with a `MultiOptimizer`, which has several learning rates. Compile it with "
            "one optimizer"
        )


def _check_batch(model: keras.Model, batch: Batch) -> None:
    """Raise `ValueError` if the examples or labels of a batch do not fit a functional model."""
    network = functional_model(model)
    if network is None:
        return
    if len(network.inputs) == 1 and hasattr(batch.x, "shape"):
        taken, shape = network.inputs[0].shape[1:], tuple(batch.x.shape[1:])
        if len(shape) == len(taken) - 1 and taken[-1] == 1:  # Keras adds and removes a last axis of length 1
            shape += (1,)
        elif len(shape) == len(taken) + 1 and shape[-1] == 1:
            shape = shape[:-1]
        check_input_shape(network, shape, "`data`")
    check_labels(network, model.loss, batch.y)


def _range(rates: Any) -> tuple[float, float]:
    if isinstance(rates, list | tuple) and len(rates) == 2 and all(map(is_finite, rates)) and 0 < rates[0] < rates[1]:
        return float(rates[0]), float(rates[1])
    raise ValueError(f"`rates` must be two positive numbers, the lower first: (1e-6, 10). Received: rates={rates!r}")
