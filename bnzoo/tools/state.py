"""Copies of the state of a layer, as by saving and loading: variables, seeds and assets."""

from tempfile import TemporaryDirectory
from typing import Any

import keras

from bnzoo.keras_internals import flatten_layers, seed_generators


def copy_variables(old: keras.Layer, new: keras.Layer) -> None:
    """Copy the variables and the states of the seed generators of a layer, and of the layers inside it.

    The variables are saved and loaded, since some layers, such as `Normalization`, derive values from them in loading.
    """
    for source, target in _pairs(old, new):
        _copy_own_variables(source, target)
        seeds = (seed_generators(layer) for layer in (source, target))
        for old_seed, new_seed in zip(*seeds, strict=True):
            new_seed.state.assign(old_seed.state)


def copy_assets(old: keras.Layer, new: keras.Layer) -> None:
    """Copy the assets of a layer and of the layers inside it, such as the vocabulary of a lookup.

    Args:
        old: The layer.
        new: A layer with the same arguments, which need not be built.
    """
    if not any(hasattr(layer, "save_assets") for layer in flatten_layers(old)):
        return
    if len(flatten_layers(old)) != len(flatten_layers(new)):  # some are created in `build`
        _build_like(old, new)
    # the inner layers first, since the layer around them may be built by the size of their vocabulary
    for source, target in reversed(_pairs(old, new)):
        if hasattr(source, "save_assets"):
            _build_like(source, target)
            _copy_own_variables(source, target)  # a vocabulary with weights reads them in `load_assets`
            with TemporaryDirectory() as folder:
                source.save_assets(folder)
                target.load_assets(folder)


def _copy_own_variables(old: keras.Layer, new: keras.Layer) -> None:
    store: dict[str, Any] = {}
    old.save_own_variables(store)
    new.load_own_variables(store)


def _build_like(old: keras.Layer, new: keras.Layer) -> None:
    if old.built and not new.built and (config := old.get_build_config()):
        new.build_from_config(config)


def _pairs(old: keras.Layer, new: keras.Layer) -> list[tuple[Any, Any]]:
    return list(zip(flatten_layers(old), flatten_layers(new), strict=True))
