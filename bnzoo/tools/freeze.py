"""Freezing of batch norms, which puts them in inference mode."""

from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

import keras

from bnzoo.keras_internals import flatten_layers
from bnzoo.tools.optimizer import follow_trainable_variables

# the norms that `freeze_batch_norm` has frozen, for `unfreeze_batch_norm`
_frozen: WeakSet = WeakSet()


def freeze_batch_norm(model: keras.Model) -> list[str]:
    """Put every batch norm in inference mode: fixed statistics, fixed gamma and beta.

    This is the usual advice for fine-tuning with small batches or on few examples, where new moving statistics may not
    fit the pretrained weights. It does not always help: `python -m recipes.finetune` compares it with the alternatives.
    In Keras, `trainable=False` on a batch norm fixes both, even where the model is called with `training=True`. It
    takes effect at the next `fit` of this model; compile a model around it again. On JAX the model gets an optimizer of
    the same class and state, since an optimizer there accepts exactly the variables that it was built for.

    Args:
        model: A built `keras.Model`. It is changed in place.

    Returns:
        The names of the norms that were not frozen before.

    Examples:
    >>> bnzoo.tools.freeze_batch_norm(model)
    >>> model.fit(x, y, batch_size=2)
    """
    norms = [layer for layer in flatten_layers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    norms = [norm for norm in norms if norm.trainable]
    _frozen.update(norms)
    return _set_trainable(model, norms, False)


def unfreeze_batch_norm(model: keras.Model) -> list[str]:
    """Undo `freeze_batch_norm`: statistics move again, gamma and beta are trained.

    Only norms that `freeze_batch_norm` has frozen change. For norms frozen in another way, and those of a model that
    was loaded or copied since, set `trainable`. Norms inside a layer or model that is frozen as a whole stay frozen,
    since their statistics would move while nothing else is trained. On TensorFlow, an optimizer that was built while
    the norms were frozen does not know their weights: Keras raises an error, and the model must be compiled again with
    a new optimizer.

    Args:
        model: A built `keras.Model`. It is changed in place.

    Returns:
        The names of the norms that are no longer frozen.
    """
    norms = [norm for norm in _within_trainable(model) if norm in _frozen and not norm.trainable]
    _frozen.difference_update(norms)
    return _set_trainable(model, norms, True)


def _within_trainable(layer: keras.Layer) -> Iterator[keras.Layer]:
    """Return the batch norms that are not inside a frozen layer."""
    if isinstance(layer, keras.layers.BatchNormalization):
        yield layer
    elif layer.trainable:
        for inner in flatten_layers(layer, include_self=False, recursive=False):
            yield from _within_trainable(inner)


def _set_trainable(model: Any, norms: list[keras.Layer], trainable: bool) -> list[str]:
    for norm in norms:
        norm.trainable = trainable
    if norms:
        # the compiled functions use the former values of `trainable`
        model.train_function = model.test_function = model.predict_function = None
        follow_trainable_variables(model)
    return [norm.name for norm in norms]
