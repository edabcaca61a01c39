"""Groups of channels."""


def largest_divisor(channels: int, groups: int) -> int:
    """Return the largest number of groups of equal size up to a limit.

    Args:
        channels: Integer, the number of channels.
        groups: Integer, the limit.
    """
    return max(d for d in range(1, min(groups, channels) + 1) if channels % d == 0)
