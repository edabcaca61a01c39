"""The training of a study in its folder, by `bnzoo train FOLDER`."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnzoo.cli.console import UserError
from bnzoo.cli.final import write_report

if TYPE_CHECKING:
    from bnzoo.data import Dataset
    from bnzoo.training import Training

# the options that a study has decided
FIXED = (
    *("depth", "learning_rate", "norm", "placement", "branch_scale", "activation", "batch_size"),
    *("optimizer", "momentum", "weight_decay", "option", "class_weight", "seed", "output"),
)


def check_given(given: Collection[str]) -> None:
    """Raise `UserError` if an option is given that the study has decided."""
    for name in FIXED:
        if name in given:
            word = name.replace("_", "-")
            raise UserError(f"--{word} is not allowed for the folder of a study, which has decided it. Leave it out")


def data_of(folder: Path) -> str:
    """Return the name of the data of the study in a folder."""
    from bnzoo.tuning.opening import require_definition

    return str(require_definition(folder)["data"]["name"])


def trained(folder: Path, data: "Dataset", trial: int | None, **options: Any) -> "Training":
    """Train the best trial of a study, or another one, to the end, and write the report with its figures.

    Args:
        folder: The folder of the study.
        data: The `Dataset`.
        trial: Integer, the number of the trial, or `None`.
        **options: The arguments of `Study.train`.

    Raises:
        ValueError: If the folder has no study, the data is other data, or the trial does not exist.
        UserError: If no trial is usable.
    """
    from bnzoo.tuning.opening import open_study

    study = open_study(folder, data)
    chosen = study.results.best
    if trial is not None:
        chosen = next((result for result in study.results.every if result.trial == trial), None)
        if chosen is None:
            raise UserError(f"{folder} has no trial {trial}. Choose a number in the column trial of results.csv")
    if chosen is None:
        raise UserError(f"{folder}: no trial is usable. Run bnzoo tune with other learning rates first")
    training = study.train(trial=chosen, **options)
    candidate = study.results.candidate
    if candidate is not None and candidate.trial == chosen.trial:  # the report describes the best model
        write_report(study)
    return training
