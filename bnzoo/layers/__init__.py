"""Public Keras layers, one a file."""

from bnzoo.layers.zero_padded_shortcut import ZeroPaddedShortcut

__all__ = ["ZeroPaddedShortcut"]
