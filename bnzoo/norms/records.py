"""The norms, one record each. All properties of a norm follow from its record."""

from functools import partial
from typing import Any

import keras

from bnzoo import layers
from bnzoo.layers.batch_statistics import OTHER_NORMS
from bnzoo.norms import groups
from bnzoo.norms.record import Record

# the kinds of batch norm with a layer class in bnzoo
_OWN_LAYERS = (
    layers.SyncBatchNormalization,
    layers.GhostBatchNormalization,
    layers.BatchRenormalization,
)


def _is_batch_norm(layer: Any, *, renorm: bool = False, synchronized: bool = False) -> bool:
    """Return whether a layer is a batch norm with these arguments, Keras' own and subclasses of it included."""
    if not isinstance(layer, keras.layers.BatchNormalization) or type(layer) in _OWN_LAYERS:
        return False
    return layer.renorm == renorm and (renorm or layer.synchronized == synchronized)


def _is_sync_batch_norm(layer: Any) -> bool:
    return type(layer) is layers.SyncBatchNormalization or _is_batch_norm(layer, synchronized=True)


def _is_batch_renorm(layer: Any) -> bool:
    return type(layer) is layers.BatchRenormalization or _is_batch_norm(layer, renorm=True)


def _is_instance_norm(layer: Any) -> bool:
    is_group_norm = isinstance(layer, keras.layers.GroupNormalization)
    return is_group_norm and layer.groups in (-1, layer.input_spec.axes[layer.axis])


def _is_group_norm(layer: Any) -> bool:
    return isinstance(layer, keras.layers.GroupNormalization) and not _is_instance_norm(layer)


_batch_record = partial(Record, excluded=frozenset(OTHER_NORMS), unit_scale=True, affine_at_inference=True)

RECORDS: dict[str, Record] = {
    "batch": _batch_record(
        layer=layers.BatchNormalization,
        statistics="the batch and all positions, per channel",
        paper="Ioffe & Szegedy 2015, arXiv:1502.03167",
        defaults={"momentum": 0.9, "epsilon": 1e-5},
        recognizes=_is_batch_norm,
    ),
    "sync_batch": _batch_record(
        layer=layers.SyncBatchNormalization,
        statistics="as `batch`, over all replicas; TensorFlow only",
        paper="Peng et al. 2018, arXiv:1711.07240",
        weights_of="batch",
        recognizes=_is_sync_batch_norm,
    ),
    "ghost_batch": _batch_record(
        layer=layers.GhostBatchNormalization,
        statistics="as `batch`, separately for each `batch` examples",
        paper="Hoffer et al. 2017, arXiv:1705.08741",
        weights_of="batch",
    ),
    "batch_renorm": _batch_record(
        layer=layers.BatchRenormalization,
        statistics="as `batch`, corrected towards the moving statistics",
        paper="Ioffe 2017, arXiv:1702.03275",
        excluded=frozenset(OTHER_NORMS) - {"renorm_momentum"},
        recognizes=_is_batch_renorm,
        follow_statistics=layers.BatchRenormalization.follow_moving_statistics,
    ),
    "group": Record(
        layer=keras.layers.GroupNormalization,
        statistics="positions and the channels of a group, per sample",
        paper="Wu & He 2018, arXiv:1803.08494",
        defaults={"groups": None, "epsilon": 1e-5},
        unit_scale=True,
        arguments_for=groups.group,
        recognizes=_is_group_norm,
    ),
    "instance": Record(
        layer=keras.layers.GroupNormalization,
        statistics="positions, per sample and channel",
        paper="Ulyanov et al. 2016, arXiv:1607.08022",
        defaults={"epsilon": 1e-5},
        excluded=frozenset({"groups"}),
        unit_scale=True,
        arguments_for=groups.instance,
        recognizes=_is_instance_norm,
    ),
    "layer": Record(
        layer=keras.layers.LayerNormalization,
        statistics="channels, per sample and position",
        paper="Ba et al. 2016, arXiv:1607.06450",
        defaults={"epsilon": 1e-6},
        unit_scale=True,
    ),
    "rms": Record(
        layer=layers.RMSNormalization,
        statistics="channels, per sample and position, no mean",
        paper="Zhang & Sennrich 2019, arXiv:1910.07467",
        unit_scale=True,
        recognizes=lambda layer: isinstance(layer, keras.layers.RMSNormalization),
    ),
    "filter_response": Record(
        layer=layers.FilterResponseNormalization,
        statistics="positions, no mean; replaces the activation",
        paper="Singh & Krishnan 2019, arXiv:1911.09737",
        activation="relu",
        unit_scale=True,
    ),
    "evonorm_s0": Record(
        layer=layers.EvoNormS0,
        statistics="as `group`, no mean removed; replaces the activation",
        paper="Liu et al. 2020, arXiv:2004.02967",
        defaults={"groups": None},
        activation="silu",
        arguments_for=groups.evonorm,
    ),
    "dynamic_tanh": Record(
        layer=layers.DynamicTanh,
        statistics="nothing: a tanh with a trainable slope",
        paper="Zhu et al. 2025, arXiv:2503.10622",
    ),
    "affine": Record(
        layer=layers.Affine,
        statistics="nothing: a scale and a shift per channel",
        paper="Touvron et al. 2021, arXiv:2105.03404",
        affine_at_inference=True,
    ),
}
