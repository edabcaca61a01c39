"""The compared networks and the implementations of each (its kinds), as objects with a `step`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

CLASSES = 10
LEARNING_RATE, MOMENTUM = 1e-3, 0.9
_KEPT: list = []  # references that keep PyTorch libraries registered
KINDS = ("bnzoo", "without norms", "Keras", "PyTorch")


@dataclass(frozen=True)
class Network:
    """A network with its names in each library, its image size and its batch size.

    Attributes:
        size: Integer, the height and width of the images.
        batch: Integer, the batch size.
        bnzoo: String, its builder in bnzoo.
        keras: String, its builder in keras.applications, or `None`.
        torchvision: Tuple, its constructor in `torchvision.models` and the arguments, or `None`.
    """

    size: int
    batch: int
    bnzoo: str
    keras: str | None = None
    torchvision: tuple[str, dict[str, Any]] | None = None

    @property
    def kinds(self) -> list[str]:
        """The available kinds. Keras' batch norm is available for every network with batch norm."""
        missing = {"PyTorch"} if self.torchvision is None else set()
        if self.bnzoo.startswith("ViT"):
            missing.add("Keras")  # the norm is Keras' layer already
        return [kind for kind in KINDS if kind not in missing]


_VIT_TI = {"patch_size": 16, "num_layers": 12, "num_heads": 3, "hidden_dim": 192, "mlp_dim": 768, "image_size": 224}
NETWORKS = {
    "ResNet-50": Network(96, 16, "ResNet50", "ResNet50", ("resnet50", {})),
    "DenseNet-121": Network(96, 16, "DenseNet121", "DenseNet121", ("densenet121", {})),
    "CIFAR ResNet-20": Network(32, 128, "ResNet20Cifar"),
    "ViT-Ti/16": Network(224, 8, "ViTTi16", None, ("VisionTransformer", _VIT_TI)),
}


def contestant(network: Network, kind: str, precision: str) -> "KerasContestant | TorchContestant":
    """Build a kind of a network. Its `step` trains one batch and waits until the loss is on the host."""
    return TorchContestant(network, precision) if kind == "PyTorch" else KerasContestant(network, kind, precision)


def batch(network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return random images, channels last, and labels."""
    random = np.random.default_rng(0)
    images = random.normal(size=(network.batch, network.size, network.size, 3)).astype(np.float32)
    return images, random.integers(0, CLASSES, network.batch)


class KerasContestant:
    """A compiled Keras model of bnzoo or keras.applications."""

    def __init__(self, network: Network, kind: str, precision: str) -> None:
        import keras

        keras.mixed_precision.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")
        self.precision = precision
        self.batch = batch(network)
        self.model = keras_model(network, kind)
        self.model.compile(keras.optimizers.SGD(LEARNING_RATE, MOMENTUM), "sparse_categorical_crossentropy")

    def step(self) -> None:
        """Call `train_on_batch` once."""
        self.model.train_on_batch(*self.batch)

    def build_optimizer(self) -> None:
        """Create the variables of the optimizer, which the first step would otherwise create during tracing."""
        self.model.optimizer.build(self.model.trainable_variables)

    def matrix_rate(self, side: int) -> None:
        """Multiply two matrices."""
        from keras import ops

        x = ops.ones((side, side), self.precision)
        float(ops.cast(ops.matmul(x, x)[0, 0], "float32"))  # NumPy has no bfloat16

    def macs(self) -> int:
        """Return the multiply-accumulates of the forward pass for one image."""
        import bnzoo

        return sum(bnzoo.models.count_macs(self.model))


def keras_model(network: Network, kind: str) -> Any:
    """Build the model of a kind, with a softmax in float32."""
    import keras

    import bnzoo

    options = {"input_shape": (network.size, network.size, 3), "classes": CLASSES, "weights": None}
    if kind == "Keras" and network.keras:
        return getattr(keras.applications, network.keras)(**options)
    norm = {"norm": None} if kind == "without norms" else {}
    model = getattr(bnzoo, network.bnzoo)(**options, **norm)
    return with_keras_norm(model) if kind == "Keras" else model


def with_keras_norm(model: Any) -> Any:
    """Return a copy of a model, weights included, with Keras' batch norm."""
    import keras

    import bnzoo

    def copy(layer: keras.Layer) -> keras.Layer:
        ours = type(layer) is bnzoo.layers.BatchNormalization
        return (keras.layers.BatchNormalization if ours else type(layer)).from_config(layer.get_config())

    cloned = keras.models.clone_model(model, clone_function=copy)
    cloned.set_weights(model.get_weights())
    return cloned


class TorchContestant:
    """A network of torchvision, channels last and compiled, as PyTorch's performance guide recommends."""

    def __init__(self, network: Network, precision: str) -> None:
        torch, models = import_torch()
        name, options = network.torchvision or ("", {})
        self.torch = torch
        self.autocast = precision != "float32"
        module = getattr(models, name)(num_classes=CLASSES, **options).to(memory_format=torch.channels_last).train()
        self.network = torch.compile(module)
        self.optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, MOMENTUM)
        images, labels = batch(network)
        images = torch.from_numpy(images.transpose(0, 3, 1, 2))
        self.batch = images.contiguous(memory_format=torch.channels_last), torch.from_numpy(labels)

    def step(self) -> None:
        """Run the forward pass, the backward pass and the update."""
        images, labels = self.batch
        self.optimizer.zero_grad()
        with self.torch.autocast("cpu", self.torch.bfloat16, enabled=self.autocast):
            loss = self.torch.nn.functional.cross_entropy(self.network(images), labels)
        loss.backward()
        self.optimizer.step()
        loss.item()


def import_torch() -> tuple[Any, Any]:
    """Import PyTorch and `torchvision.models`, and return both."""
    import torch

    try:
        import torchvision
    except RuntimeError:
        # A torchvision that was built for another PyTorch lacks these operators. No network here uses them.
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)
        import torchvision
    return torch, torchvision.models
