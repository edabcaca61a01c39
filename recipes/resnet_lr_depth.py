"""Search the learning rate and depth of a ResNet on your images, with batch norm and without.

python -m recipes.resnet_lr_depth [--data NAME] [--folder FOLDER]
"""

import typer

from bnzoo import tuning
from bnzoo.data import load


def main(data: str = "digits", folder: str | None = None) -> None:
    """Search, print the results, and export the best model.

    Args:
        data: A name such as `cifar10` or `mnist`, an `.npz` file, or a folder of images, as in `bnzoo.data.load`.
        folder: The folder of the study. An interrupted study resumes.
    """
    images = load(data)
    space = tuning.ResNetSpace(
        depths=(8, 14, 20),  # 6n+2
        learning_rates=(1e-3, 3.0),  # a log grid of 7
        norms=("batch", None),  # also "group", "layer", "instance", "rms", {"name": "group", "groups": 8}
        placement="post",  # also "pre", "act_norm", and the other orders of He et al. 2016
    )
    study = tuning.Study(space, images, folder or f"runs/resnet-{images.stem}", seeds=1, epochs=15)
    study.run()

    print(study.results.table().to_string(index=False))
    print(study.verdict)
    print("report:", study.report())
    print(study.export())


if __name__ == "__main__":
    typer.run(main)
