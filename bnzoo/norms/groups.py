"""The numbers of groups that norms over groups of channels have for a shape."""

from bnzoo.layers.axes import position_axes
from bnzoo.layers.groups import largest_divisor
from bnzoo.norms.record import Arguments

# A group of vectors has so many channels unless `groups` is given: two channels alone are normalized to -1 and 1.
_CHANNELS_OF_GROUP = 8
_GROUPS = 32


def group(shape: tuple, arguments: Arguments) -> Arguments | None:
    """Return the arguments with the largest number of groups that divides the channels.

    Without positions a group has several channels. For a single value there is no group.
    """
    channels, positions = shape[arguments["axis"]], _has_positions(shape, arguments["axis"])
    if channels == 1 and not positions:
        return None
    least = 1 if positions else 2 if arguments["groups"] else _CHANNELS_OF_GROUP
    groups = min(arguments["groups"] or _GROUPS, max(channels // least, 1))
    return {**arguments, "groups": largest_divisor(channels, groups)}


def instance(shape: tuple, arguments: Arguments) -> Arguments | None:
    """Return the arguments with a group for each channel; there is none without positions."""
    if not _has_positions(shape, arguments["axis"]):
        return None
    return {**arguments, "groups": shape[arguments["axis"]]}


def evonorm(shape: tuple, arguments: Arguments) -> Arguments | None:
    """Return the arguments as for `group`; without its activation EvoNorm has no statistics, and fits any shape."""
    if arguments.get("apply_activation", True):
        return group(shape, arguments)
    return {**arguments, "groups": arguments["groups"] or _GROUPS}


def _has_positions(shape: tuple, axis: int) -> bool:
    return any(shape[i] != 1 for i in position_axes(len(shape), axis))
