"""Search the learning rate, depth and growth rate of a DenseNet on your images.

python -m recipes.densenet_lr_depth [--data NAME] [--folder FOLDER]
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
    space = tuning.DenseNetSpace(
        depths=(10, 16, 22),  # L = 6n+4: three dense blocks of n layers, each with its bottleneck
        learning_rates=(1e-2, 1.0, 5),
        norms=("batch",),
        growth_rate=(6, 12),  # k: the channels that each layer adds
    )
    study = tuning.Study(space, images, folder or f"runs/densenet-{images.stem}", seeds=1, epochs=8)
    study.run()

    print(study.results.table().to_string(index=False))
    print(study.verdict)
    print("report:", study.report())
    print(study.export())


if __name__ == "__main__":
    typer.run(main)
