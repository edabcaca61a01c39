"""Trained weights of torchvision and timm."""

from functools import partial
from typing import Any

import keras

from bnzoo.errors import unknown
from bnzoo.models import model_card
from bnzoo.models.ends import image_shape
from bnzoo.weights.files import read_tensors
from bnzoo.weights.options import merged
from bnzoo.weights.pytorch_peers import PEERS
from bnzoo.weights.translation import fitting, transfer

# more than the 21,843 classes of ImageNet-21k; above it, shapes are compared before memory for a classifier is
# allocated
_MANY_CLASSES = 25_000


def from_torch(source: Any, name: str, *, max_bytes: int | None = None, **overrides: Any) -> keras.Model:
    """Return a network of torchvision or timm with its trained weights, as a bnzoo model of the same function.

    PyTorch, torchvision and timm are not needed, and pickles (`.pt`, `.pth`, `.bin`) are not read. Scale images as for
    the original network.

    Args:
        source: The state dict: the path of a safetensors, HDF5 or `.npz` file, or a dict from names to arrays or
            tensors.
        name: String, the name of the network in torchvision or timm: `"resnet50"`, `"resnetv2_50x1_bit"`, `"vit_b_16"`,
            `"vit_tiny_patch16_224"`. The tag of timm after a dot is ignored.
        max_bytes: Integer, the most bytes that the tensors of a file may take in memory; `None` for 512 MiB or 100
            times the size of the file, whichever is more.
        **overrides: Arguments of the builder that do not change the trained function: `include_top`, `input_shape`,
            `pooling`, `classifier_activation`, ... `classes` is that of the file. `norm` may be another kind of batch
            norm.

    Returns:
        A functional `keras.Model`.

    Raises:
        ValueError: If the name is unknown, an override contradicts the weights, or the file is a pickle, damaged, or of
            another network. The message names the first tensor that does not fit.
        FileNotFoundError: If there is no such file.

    Examples:
    >>> model = bnzoo.weights.from_torch("model.safetensors", "resnet50.a1_in1k", classifier_activation=None)
    """
    plain = name.split(".")[0] if isinstance(name, str) else name
    if plain not in PEERS:
        raise ValueError(unknown("network of torchvision or timm", name, PEERS))
    peer, origin = PEERS[plain], f"weights for {plain!r}"
    options = merged({**peer.options, "name": plain}, overrides, origin)
    tensors = read_tensors(source, max_bytes)
    head = tensors.get(peer.naming.join(peer.naming.head, "weight"))
    if head is not None and head.ndim:
        options.setdefault("classes", head.shape[0])
    if peer.side != 224 and options.get("input_tensor") is None:
        options.setdefault("input_shape", image_shape(peer.side))
    build = partial(model_card(peer.base).builder, **options)
    if options.get("classes", 0) > _MANY_CLASSES:
        with keras.StatelessScope(initialize_variables=False):
            fitting(build(), tensors, peer.naming, origin)
    return transfer(build(), tensors, peer.naming, origin)
