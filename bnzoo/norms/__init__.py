"""The norms by name: `Norm`, `get`, `list_norms`, `name_of`."""

from bnzoo.norms.norm import Norm, get, list_norms, name_of

__all__ = ["Norm", "get", "list_norms", "name_of"]
