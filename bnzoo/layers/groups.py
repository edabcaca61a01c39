"""How channels are grouped."""


def largest_divisor(channels: int, groups: int) -> int:
    """The largest number of groups of equal size that is not above the one asked for.

    Args:
        channels: Integer, how many channels there are.
        groups: Integer, how many groups there may be.
    """
    return max(d for d in range(1, min(groups, channels) + 1) if channels % d == 0)
