"""Search the norm and its placement: before the weight, after it, or after the activation.

python -m recipes.norm_placement [--data NAME] [--folder FOLDER]
"""

import typer

from bnzoo import tuning
from bnzoo.data import load


def main(data: str = "digits", folder: str | None = None) -> None:
    """Search norm x placement x learning rate at one depth, print the results, and export the best model.

    Each pair of norm and placement is compared at its own best learning rate. A comparison at one rate would only show
    which pair suits that rate.

    Args:
        data: A name such as `cifar10` or `mnist`, an `.npz` file, or a folder of images, as in `bnzoo.data.load`.
        folder: The folder of the study. An interrupted study resumes.
    """
    images = load(data)
    space = tuning.ResNetSpace(
        depths=(8,),
        learning_rates=(1e-2, 1.0, 5),
        norms=("batch", "group", None),
        placement=("pre", "post", "act_norm"),  # also the five orders of He et al. 2016 by their names
    )
    study = tuning.Study(space, images, folder or f"runs/norm-placement-{images.stem}", seeds=1, epochs=8)
    study.run()

    print(study.results.table().sort_values("loss").to_string(index=False))
    print(study.verdict)
    print("report:", study.report())
    print(study.export())


if __name__ == "__main__":
    typer.run(main)
