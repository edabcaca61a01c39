"""The image data sets of `keras.datasets`, with the names of their classes."""

from types import ModuleType

import numpy as np

NAMES = ("cifar10", "cifar100", "mnist", "fashion_mnist")
_CLASSES = {
    "mnist": "0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
    "fashion_mnist": "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot",
    "cifar10": "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck",
    "cifar100": (
        "apple, aquarium_fish, baby, bear, beaver, bed, bee, beetle, bicycle, bottle, bowl, boy, bridge, bus, "
        "butterfly, camel, can, castle, caterpillar, cattle, chair, chimpanzee, clock, cloud, cockroach, couch, crab, "
        "crocodile, cup, dinosaur, dolphin, elephant, flatfish, forest, fox, girl, hamster, house, kangaroo, "
        "keyboard, lamp, lawn_mower, leopard, lion, lizard, lobster, man, maple_tree, motorcycle, mountain, mouse, "
        "mushroom, oak_tree, orange, orchid, otter, palm_tree, pear, pickup_truck, pine_tree, plain, plate, poppy, "
        "porcupine, possum, rabbit, raccoon, ray, road, rocket, rose, sea, seal, shark, shrew, skunk, skyscraper, "
        "snail, snake, spider, squirrel, streetcar, sunflower, sweet_pepper, table, tank, telephone, television, "
        "tiger, tractor, train, trout, tulip, turtle, wardrobe, whale, willow_tree, wolf, woman, worm"
    ),
}

Labelled = tuple[np.ndarray, np.ndarray]


def read(name: str) -> tuple[Labelled, Labelled, tuple[str, ...]]:
    """Return the training data, the test data and the names of the classes. Download them once.

    Args:
        name: String, one of `NAMES`.

    Returns:
        Two tuples of uint8 images `(examples, height, width, channels)` and their classes; and the names.

    Raises:
        OSError: If the data cannot be downloaded, or an earlier download cannot be read.
    """
    import keras

    module: ModuleType = getattr(keras.datasets, name)
    try:
        train, test = module.load_data()
    except (
        Exception
    ) as error:  # Keras raises a bare Exception for a failed download, and various errors for a broken file
        reason = str(error).rstrip(".") or type(error).__name__
        raise OSError(
            f"{name} could not be downloaded or read: {reason}. Keras downloads it once and keeps it in "
            "~/.keras/datasets (or $KERAS_HOME/datasets): connect to the network and try again, or copy that folder "
            "from a machine that has it; if a file there is broken, remove it"
        ) from error
    return _labelled(*train), _labelled(*test), tuple(_CLASSES[name].split(", "))


def _labelled(x: np.ndarray, y: np.ndarray) -> Labelled:
    return (x[..., None] if x.ndim == 3 else x), y.reshape(-1)
