"""Copies of models that compute in another dtype."""

from typing import Any

import keras

from bnzoo.keras_internals import flatten_layers, operation_of
from bnzoo.tools.rebuild import Rebuilt, copy_of

# layers that keep their dtype: those that scale inputs, whose levels 16 bits do not hold, and the inputs
_KEPT = (keras.layers.Normalization, keras.layers.Rescaling, keras.layers.InputLayer)


def computes_in_float32(model: keras.Model) -> bool:
    """Return whether all layers of a model compute in float32, with variables in float32."""
    return all(
        layer.compute_dtype in ("float32", None) and layer.variable_dtype in ("float32", None)
        for layer in flatten_layers(model)
    )


def in_float32(model: keras.Model) -> keras.Model:
    """Return the model if it computes in float32, else a copy that does.

    CPUs emulate 16 bits, and the converters to other formats have no operations for them.
    """
    if computes_in_float32(model):
        return model
    return Rebuilt(model, lambda layer: None, copy=_copy_in_float32).model


def in_mixed_precision(model: keras.Model, policy: str) -> keras.Model:
    """Return a copy of a functional or Sequential model in float32 whose layers compute in 16 bits.

    The variables stay float32. Layers that scale the inputs and layers that make an output compute in float32.

    Args:
        model: The model.
        policy: String, `"mixed_bfloat16"` or `"mixed_float16"`.
    """
    last = {id(operation_of(tensor)) for tensor in model.outputs}

    def copy(layer: Any) -> Any:
        plain = not isinstance(layer, keras.Layer) or isinstance(layer, _KEPT) or id(layer) in last
        return copy_of(layer) if plain else copy_of(layer, dtype=policy)

    return Rebuilt(model, lambda layer: None, copy=copy).model


def _copy_in_float32(layer: Any) -> Any:
    if not isinstance(layer, keras.Layer):  # an operation computes in the dtype of its inputs
        return copy_of(layer)
    return copy_of(layer, **{name: _float32(name, value) for name, value in layer.get_config().items()})


def _float32(name: Any, value: Any) -> Any:
    """Replace every dtype policy in a config, at any depth, by float32."""
    if isinstance(value, dict):
        if str(value.get("class_name", "")).endswith("DTypePolicy"):
            return "float32"
        return {key: _float32(key, entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_float32(None, entry) for entry in value)
    return "float32" if name == "dtype" and _is_float(value) else value


def _is_float(policy: Any) -> bool:
    return isinstance(policy, str) and "float" in policy
