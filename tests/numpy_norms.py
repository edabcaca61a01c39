"""References for the norm layers: every norm of its paper in training mode, in NumPy and float64, channels last.

Each takes the inputs, the weights by name, the options, and a mask or `None`, and gives the outputs and the new state.
"""

import numpy as np


def affine(x, weights, options=None, mask=None, at=None):
    return x * weights.get("gamma", 1) + weights.get("beta", 0), {}


def dynamic_tanh(x, weights, options=None, mask=None, at=None):
    return affine(np.tanh(weights["alpha"] * x), weights)


def batch(x, weights, options, mask=None, at=None):
    seen = x.reshape(-1, x.shape[-1]) if mask is None else x[mask]
    outputs, _ = affine((x - seen.mean(0)) / np.sqrt(seen.var(0) + options["epsilon"]), weights)
    return outputs, moved(weights, options, seen.mean(0), seen.var(0))


def ghost_batch(x, weights, options, mask=None, at=None):
    outputs = []
    for start in range(0, len(x), options["batch"]):
        ghost = slice(start, start + options["batch"])
        ghost_mask = None if mask is None else mask[ghost]
        if ghost_mask is not None and not ghost_mask.any():
            # no values for statistics: mean 0, variance 0
            outputs.append(affine(x[ghost] / np.sqrt(options["epsilon"]), weights)[0])
        else:
            outputs.append(batch(x[ghost], weights, options, ghost_mask)[0])
    seen = x.reshape(-1, x.shape[-1]) if mask is None else x[mask]
    state = moved(weights, options, seen.mean(0), seen.var(0)) if len(seen) else moved(weights, {"momentum": 1}, 0, 0)
    return np.concatenate(outputs), state


def batch_renorm(x, weights, options, mask=None, at=None):
    """Compute batch renormalization. r and d have no gradient: `at` fixes them at another input."""
    moments = {}
    for name, inputs in (("x", x), ("at", x if at is None else at)):
        seen = inputs.reshape(-1, x.shape[-1]) if mask is None else inputs[mask]
        moments[name] = seen.mean(0), np.sqrt(seen.var(0) + options["epsilon"])
    mean, deviation = moments["x"]
    fixed_mean, fixed_deviation = moments["at"]
    step = weights["steps"][0]
    rmax = np.interp(step, options["rmax_steps"], (1, options["rmax"]))
    dmax = np.interp(step, options["dmax_steps"], (0, options["dmax"]))
    r = np.clip(fixed_deviation / weights["renorm_stddev"], 1 / rmax, rmax)
    d = np.clip((fixed_mean - weights["renorm_mean"]) / weights["renorm_stddev"], -dmax, dmax)
    outputs, _ = affine((x - mean) / deviation * r + d, weights)

    fast, slow = options["momentum"], options["renorm_momentum"]
    moving_deviation = np.sqrt(weights["moving_variance"] + options["epsilon"])
    return outputs, {
        "moving_mean": fast * weights["moving_mean"] + (1 - fast) * mean,
        "moving_variance": (fast * moving_deviation + (1 - fast) * deviation) ** 2 - options["epsilon"],
        "renorm_mean": slow * weights["renorm_mean"] + (1 - slow) * mean,
        "renorm_stddev": slow * weights["renorm_stddev"] + (1 - slow) * deviation,
        "steps": weights["steps"] + 1,
    }


def moved(weights, options, mean, variance):
    m = options["momentum"]
    return {
        "moving_mean": m * weights["moving_mean"] + (1 - m) * mean,
        "moving_variance": m * weights["moving_variance"] + (1 - m) * variance,
    }


def group(x, weights, options, mask=None, at=None):
    split = x.reshape(len(x), -1, options["groups"], x.shape[-1] // options["groups"])
    mean, variance = split.mean((1, 3), keepdims=True), split.var((1, 3), keepdims=True)
    return affine(((split - mean) / np.sqrt(variance + options["epsilon"])).reshape(x.shape), weights)


def instance(x, weights, options, mask=None, at=None):
    return group(x, weights, {**options, "groups": x.shape[-1]})


def layer(x, weights, options, mask=None, at=None):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return affine((x - mean) / np.sqrt(variance + options["epsilon"]), weights)


def rms(x, weights, options, mask=None, at=None):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + options["epsilon"]) * weights["scale"], {}


def filter_response(x, weights, options, mask=None, at=None):
    outputs = np.empty_like(x)
    for i, sample in enumerate(x):
        seen = sample.reshape(-1, x.shape[-1]) if mask is None else sample[mask[i]]
        square = (seen**2).mean(0) if len(seen) else 0
        epsilon = options["epsilon"] + np.abs(weights.get("learned_epsilon", 0))
        y, _ = affine(sample / np.sqrt(square + epsilon), weights)
        outputs[i] = np.maximum(y, weights["tau"]) if "tau" in weights else y
    return outputs, {}


def evonorm_s0(x, weights, options, mask=None, at=None):
    outputs = np.empty_like(x)
    for i, sample in enumerate(x):
        seen = sample.reshape(-1, x.shape[-1]) if mask is None else sample[mask[i]]
        groups = seen.reshape(len(seen), options["groups"], x.shape[-1] // options["groups"])
        variance = groups.var((0, 2)) if len(seen) else np.zeros(options["groups"])
        deviation = np.sqrt(np.repeat(variance, x.shape[-1] // options["groups"]) + options["epsilon"])
        outputs[i], _ = affine(sample / (1 + np.exp(-weights["v"] * sample)) / deviation, weights)
    return outputs, {}


def gradient(function, array, step=1e-6):
    """Return the gradient of a scalar function of an array, by central differences."""
    result = np.zeros_like(array)
    for index in np.ndindex(array.shape):
        ends = []
        for sign in (1, -1):
            moved_array = array.copy()
            moved_array[index] += sign * step
            ends.append(function(moved_array))
        result[index] = (ends[0] - ends[1]) / (2 * step)
    return result
