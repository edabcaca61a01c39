"""Search the learning rate and depth of a vision transformer on your images, with layer norm and with batch norm.

python -m recipes.vit_lr_depth [--data NAME] [--folder FOLDER]
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
    space = tuning.ViTSpace(
        depths=(1, 2, 4),  # blocks
        learning_rates=(3e-4, 3e-2, 4),  # of AdamW
        norms=("layer", "batch"),
        placement="pre",  # also "post" and "peri", or several
        width=32,
        heads=2,
    )
    study = tuning.Study(space, images, folder or f"runs/vit-{images.stem}", seeds=1, epochs=10)
    study.run()

    print(study.results.table().to_string(index=False))
    print(study.verdict)
    print("report:", study.report())
    print(study.export())


if __name__ == "__main__":
    typer.run(main)
