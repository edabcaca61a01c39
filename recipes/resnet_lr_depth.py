"""Which learning rate and depth suit a ResNet on your images, with batch norm and without?

python -m recipes.resnet_lr_depth [--data NAME] [--folder FOLDER]
"""

import typer

from bnzoo import tuning
from bnzoo.data import load


def main(data: str = "digits", folder: str | None = None) -> None:
    """Searches, prints what it found, ships the winner.

    Args:
        data: What `bnzoo.data.load` takes: `cifar10`, `mnist` and other names, an `.npz` file, a folder of images.
        folder: Where the study is kept. Stopped and started again, it goes on where it was.
    """
    images = load(data)
    space = tuning.ResNetSpace(
        depths=(8, 14, 20),  # 6n+2
        learning_rates=(1e-3, 3.0),  # a log grid of 7
        norms=("batch", None),  # also "group", "layer", "instance", "rms", {"name": "group", "groups": 8}
        placement="pre",  # also "post", "act_norm", and the other orders of He et al. 2016
    )
    study = tuning.Study(space, images, folder or f"runs/resnet-{images.stem}", seeds=1, epochs=15)
    study.run()

    print(study.results.table().to_string(index=False))
    print(study.verdict)
    print("report:", study.report())
    print(study.export())


if __name__ == "__main__":
    typer.run(main)
