"""The smallest network of each family, with every kind of block in it."""

import keras
import numpy as np

import bnzoo

_IMAGES = {"input_shape": (8, 8, 2)}
FAMILIES = {
    "resnet": (bnzoo.ResNet, {"blocks": (1, 2), "block": "basic", "filters": 4, "stem": "cifar", **_IMAGES}),
    "densenet": (bnzoo.DenseNet, {"blocks": (2, 1), "growth_rate": 3, "stem": "cifar", **_IMAGES}),
    "mlp": (bnzoo.MLP, {"depth": 2, "width": 6, "input_shape": (5,)}),
    "mlp_residual": (bnzoo.MLP, {"widths": (6, 4, 6), "residual": True, "input_shape": (5,)}),
    "vit": (bnzoo.ViT, {"patch_size": 4, "depth": 2, "width": 8, "heads": 2, **_IMAGES}),
}


def family_of(name: str) -> str:
    """Return the name of the family for placements."""
    return name.removesuffix("_residual")


def build(name: str, **options) -> keras.Model:
    """Build a small network with logits as outputs."""
    builder, small = FAMILIES[name]
    return builder(**{**small, "classes": 3, "classifier_activation": None, **options})


def without_values(builder, *arguments, **options) -> keras.Model:
    """Return the network of a builder whose weights have names and shapes but no values."""
    with keras.StatelessScope(initialize_variables=False):
        return builder(*arguments, **options)


def examples(model: keras.Model, count: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *model.input_shape[1:])).astype("float32")


def numbers(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(weight) for weight in model.get_weights()]


def trainable(model: keras.Model) -> int:
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


def state(model: keras.Model) -> int:
    return sum(int(np.prod(v.shape)) for v in model.non_trainable_variables)


def shaken(model: keras.Model, seed: int = 3) -> keras.Model:
    """Set random weights, statistics and gates of a size that keeps activations alive, and return the model."""
    random = np.random.default_rng(seed)
    for variable in model.variables:
        if "seed" in variable.name or not np.issubdtype(variable.dtype, np.floating):
            continue
        if variable.name.endswith("kernel"):
            fan_in = max(1, np.prod(variable.shape[:-1]))
            value = random.normal(size=variable.shape) * np.sqrt(2 / fan_in)
        elif variable.name in ("gamma", "moving_variance", "scale"):
            value = random.uniform(0.5, 1.5, variable.shape)
        else:
            value = random.normal(size=variable.shape) * 0.3
        variable.assign(value.astype("float32"))
    return model
