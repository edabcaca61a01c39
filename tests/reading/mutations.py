"""Random damage to files, determined by a seed."""

import numpy as np

_EXTREME = [
    b"\0" * 8,
    b"\xff" * 8,
    b"\0\0\0\x80",
    b"\xff\xff\xff\x7f",
    b"\0" * 7 + b"\x80",
    b"\xff" * 7 + b"\x7f",
    b"9" * 8,
]


def _flip(content, where, random):
    content[where] ^= 1 << random.integers(8)


def _overwrite(content, where, random):
    size = random.integers(1, 17)
    content[where : where + size] = random.bytes(size)


def _insert(content, where, random):
    content[where:where] = random.bytes(random.integers(1, 65))


def _delete(content, where, random):
    del content[where : where + random.integers(1, 65)]


def _truncate(content, where, random):
    del content[where:]


def _repeat(content, where, random):
    content[where:where] = content[where : where + random.integers(1, 257)]


def _move(content, where, random):
    size, target = random.integers(1, 65), random.integers(len(content))
    content[target : target + size] = content[where : where + size]


def _extreme(content, where, random):
    number = _EXTREME[random.integers(len(_EXTREME))]
    content[where : where + len(number)] = number


_KINDS = (_flip, _overwrite, _insert, _delete, _truncate, _repeat, _move, _extreme)


def mutated(content, seed):
    """Return the content of a file with one to three changes, more often near its start and end."""
    random = np.random.default_rng(seed)
    damaged = bytearray(content)
    for _ in range(random.integers(1, 4)):
        length = len(damaged)
        if not length:
            break
        edge = min(256, length)
        where = (random.integers(length), random.integers(edge), length - 1 - random.integers(edge))[random.integers(3)]
        _KINDS[random.integers(len(_KINDS))](damaged, int(where), random)
    return bytes(damaged)
