"""The record of a named network: counted figures, and published accuracy with its source."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class ModelCard:
    """The figures of a model of the zoo.

    The counts are those of the built model with the default input shape and classes; the tests count them again.

    Attributes:
        builder: The function that builds it.
        name: String, the name for `bnzoo.create_model`.
        paper: String, the paper that describes the network.
        params: Integer, the number of trainable parameters; `None` if it depends on the arguments.
        macs: Integer, the multiply-accumulates of convolutions and dense layers for one example, as
            `bnzoo.models.count_macs` counts them; `None` if they depend on the arguments.
        accuracy: Float, published top-1 accuracy in percent, or `None` if none is known. A model
            trained with bnzoo may reach a different accuracy.
        source: String, the publication of the accuracy.
        dataset: String, the data set of the accuracy.
    """

    builder: Callable[..., keras.Model]
    name: str
    paper: str
    params: int | None = None
    macs: int | None = None
    accuracy: float | None = None
    source: str = ""
    dataset: str = "ImageNet"

    @property
    def norm(self) -> str:
        """The default norm."""
        return self._default("norm")

    @property
    def placement(self) -> str:
        """The default placement."""
        return self._default("placement")

    def _default(self, argument: str) -> str:
        return inspect.signature(self.builder).parameters[argument].default
