"""The training of a model to the end."""

import time
from collections.abc import Sequence
from pathlib import Path

import keras

from bnzoo.data import Dataset
from bnzoo.errors import number
from bnzoo.training.options import Options, default_batch_size
from bnzoo.training.precision import AUTO
from bnzoo.training.recipe import recipe_of
from bnzoo.training.reporting import Progress
from bnzoo.training.results import Training
from bnzoo.training.session import run


def train(
    model: keras.Model,
    data: Dataset,
    *,
    learning_rate: float | None = None,
    epochs: int | None = None,
    budget: float | None = None,
    batch_size: int | None = None,
    optimizer: str | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    schedule: str | None = None,
    warmup: float | None = None,
    precision: str = AUTO,
    average: bool = True,
    patience: int | None = None,
    class_weight: str | None = None,
    all_data: bool = False,
    seed: int = 0,
    directory: str | Path | None = None,
    tensorboard: str | Path | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    progress: Progress | None = None,
) -> Training:
    """Train a model to the end: schedule, augmentation, averaged weights, recalibrated statistics, test figures.

    With a directory, the training is written into checkpoints, twice a minute. The same call goes on where a killed
    process was, and ends with the same weights, bit for bit, on the same machine. (On a GPU, call
    `tf.config.experimental.enable_op_determinism()` first. On several devices, roundings may differ.) At the end, the
    directory has `best.keras`, the verified SavedModel `best/1`, its description `export.json`, and `history.csv` with
    a row for each epoch.

    The model is trained in place. If this machine has several GPUs, a copy trains on all of them and the model gets its
    weights. Each GPU has an equal part of every batch, and batch norm the statistics of the whole batch: without random
    layers, the weights are those of a training on one GPU, but for roundings. Batches that cannot be divided equally
    use fewer GPUs. A model that was built in the scope of a `tf.distribute` strategy trains with that strategy, and its
    batch norms see the part of each device.

    Args:
        model: A built `keras.Model` with one input and one output: logits or probabilities of classes, or a number. A
            compiled model keeps its loss, its metrics and its kind of optimizer. Otherwise the loss is the
            cross-entropy, or the squared error divided by the variance of the target.
        data: A `bnzoo.data.Dataset`, whose `augment` applies.
        learning_rate: Float, the highest learning rate. Default: that of the optimizer of a compiled model; else 0.1
            for SGD, 0.001 for AdamW and Muon, 0.0025 for schedule-free AdamW.
        epochs: Integer, at most 1,000,000. Default: 30, or as many as fit into the budget.
        budget: Float, the seconds of this call, export included. The first steps are timed to choose the number of
            epochs, and the time for the export. At least a quarter of the time is for the training, which ends in time
            in any case. A warning tells if figures and export take longer than the rest.
        batch_size: Integer, the number of examples in a batch of all devices together. Default: 128 for 20,000 training
            examples or more, else 64; 32 or 16 for fewer than 1,024.
        optimizer: String, `"sgd"`, `"adamw"`, `"muon"` or `"schedule_free_adamw"`. Default: that of a compiled model,
            else `"sgd"`. See `bnzoo.optimizers.Muon` and `bnzoo.optimizers.ScheduleFreeAdamW`.
        momentum: Float, the momentum of SGD, 0.9 by default, or of Muon, 0.95 by default.
        weight_decay: Float, relative to the learning rate, without `bnzoo.no_decay_variables`. By default 5e-3 for SGD
            and 0.05 for the others.
        schedule: String, `"warmup_cosine"` (a rise over the first 5 % of the training, then half a cosine), `"linear"`
            (the same rise, then a line to 0), `"half_cosine"` (each epoch has one rate) or `"constant"`. Default:
            `"warmup_cosine"`, for schedule-free AdamW `"constant"` after a warm-up of 0.05.
        warmup: Float, the share of the training in which the learning rate rises. Default: 0.05 for `"warmup_cosine"`
            and `"linear"`, 0 for `"constant"`. `"half_cosine"` cannot have a warm-up.
        precision: String, `"float32"`, `"bfloat16"`, `"float16"` (with a scaled loss), or `"auto"`, which times some
            steps and takes the fastest; it is float32 with a budget of less than two minutes, and on a processor
            without instructions for bfloat16. The variables and the trained model are float32.
        average: Boolean, whether the moving average of the weights over the last quarter of the training replaces the
            last weights, if its validation loss is lower. Schedule-free AdamW has an average of its own, at which the
            model is evaluated in any case.
        patience: Integer, the number of epochs after which a training ends whose validation loss has not improved.
            `None` for no early end.
        class_weight: `None`, or `"balanced"`: all classes have the same weight in the loss.
        all_data: Boolean, whether the validation data is training data too. There is then no validation: the averaged
            weights are taken, and `patience` is not allowed.
        seed: Integer, the seed of the order of the examples and of the augmentation.
        directory: The folder for checkpoints and results, or `None`.
        tensorboard: The folder for logs of TensorBoard, or `None`. The logs of another training there are replaced.
        callbacks: Sequence of further callbacks. The training does not resume their state.
        progress: Function that is called with a `bnzoo.training.Moment` after each step and epoch.

    Returns:
        A `Training`.

    Raises:
        ValueError: If an argument is invalid, or the directory has another training.
        RuntimeError: If the loss becomes infinite or NaN, or the SavedModel differs from the model.

    Examples:
    >>> data = bnzoo.data.load("digits", augment="crop")
    >>> model = bnzoo.ResNetCifar(depth=8, input_shape=data.input_shape, classes=data.classes)
    >>> training = bnzoo.train(model, data, learning_rate=0.1, epochs=20, directory="runs/digits")
    >>> print(training.measures.test["accuracy"])
    """
    if budget is not None:
        number("budget", budget, above=0)
    recipe = recipe_of(model, data, learning_rate, optimizer, momentum, weight_decay)
    schedule, warmup = recipe.schedule(schedule, warmup)
    return run(
        model,
        data,
        recipe,
        Options(
            epochs=epochs,
            deadline=None if budget is None else time.monotonic() + budget,
            batch_size=default_batch_size(len(data.train.x)) if batch_size is None else batch_size,
            schedule=schedule,
            warmup=warmup,
            precision=precision,
            average=average,
            patience=patience,
            class_weight=class_weight,
            all_data=all_data,
            seed=seed,
        ),
        directory=None if directory is None else Path(directory),
        tensorboard=tensorboard,
        callbacks=callbacks,
        progress=progress,
    )
