"""The final training of a study on the command line, and the report with its figures."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bnzoo.cli.console import mistakes, say
from bnzoo.cli.progress import shown
from bnzoo.cli.waiting import waiting

# a budget this many times as long as the plan of a finished study is meant to be a larger one
_LARGER = 1.5

if TYPE_CHECKING:
    from bnzoo.training import Training
    from bnzoo.training.artefact import Artefact
    from bnzoo.tuning import Study


def trained(
    study: "Study",
    deadline: float | None,
    precision: str = "auto",
    augment: str | None = None,
) -> "Artefact | None":
    """Return the artefact of the final training of a study, which is run unless that was done before.

    Args:
        study: The `Study`, which has a candidate.
        deadline: Float, the end of the training and of the export as `time.monotonic()`; `None` for the default number
            of epochs.
        precision: String, as in `Study.train`.
        augment: String, as in `Study.train`.

    Returns:
        The artefact; `None` if the training diverged, which is printed.

    Raises:
        RuntimeError: If the SavedModel differs from the model, or an earlier one is damaged.
    """
    from bnzoo.training.endings import DivergedError

    candidate = study.results.candidate
    assert candidate is not None
    done = study.artefact_of(candidate)
    if done is not None and _is_whole(study, done, augment):
        done.check()
        planned = 0.0 if study.plan is None else study.plan.seconds
        if planned and deadline is not None and deadline - time.monotonic() > _LARGER * planned:
            say(
                f"warning: the study in {study.directory} is finished, with a plan for {planned:.0f} s, and a larger "
                "budget trains nothing more. A new --output has a plan for it"
            )
        return done
    words = ", ".join(
        f"{name.replace('_', ' ')} {study.results.text(value)}" for name, value in candidate.values.items()
    )
    console = Console(stderr=True)
    console.print(f"final training: {words}", highlight=False, soft_wrap=True)
    training: Training | None = None
    with shown(console) as progress:
        try:
            training = study.train(
                deadline=deadline,
                trial=candidate,
                precision=precision,
                augment=augment,
                progress=progress,
            )
        except DivergedError as error:
            say(f"warning: {error}")
    if training is None:
        return None
    console.print(str(training), highlight=False, soft_wrap=True)
    if training.weights == "trial":
        say(
            "warning: the trial is better than the final training, so the trial is kept. A larger --budget may help, "
            "with a new --output"
        )
    return training.artefact


def write_report(study: "Study") -> None:
    """Write the report of a study if it is missing or older than the results or the artefact."""
    from bnzoo.training.files import NOTE
    from bnzoo.tuning.folder import RESULTS

    report = study.directory / "report.html"
    sources = [path for path in (study.directory / RESULTS, study.directory / NOTE) if path.exists()]
    newest = max((path.stat().st_mtime for path in sources), default=0.0)
    with mistakes(ValueError, OSError, ImportError):
        if len(study.results) and not (report.exists() and report.stat().st_mtime >= newest):
            with waiting("writing the report"):
                study.report()


def _is_whole(study: "Study", artefact: "Artefact", augment: str | None) -> bool:
    """Return whether an artefact of a training is complete, with the encoder of the data.

    If an augmentation is given, the training must have had it.
    """
    from bnzoo.data.augment import chosen
    from bnzoo.training.artefact import has_encoder
    from bnzoo.training.files import BEST

    path = Path(artefact.path)
    if artefact.training is None or not path.exists() or not (study.directory / BEST).exists():
        return False
    if not has_encoder(path, study.data.encoder):
        return False
    return augment is None or artefact.training.get("data", {}).get("augment") == list(chosen(augment))
