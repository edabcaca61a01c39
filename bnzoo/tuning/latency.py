"""The measurement of the latencies of the networks of a study."""

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bnzoo.errors import choice
from bnzoo.export.formats import FORMATS
from bnzoo.export.latency import medians, open_calls
from bnzoo.export.verification import verify
from bnzoo.json_text import json_text
from bnzoo.training.speed import Finish, slowness
from bnzoo.tuning.costs import Latency
from bnzoo.tuning.trial_result import TrialResult

if TYPE_CHECKING:
    from bnzoo.tuning.study import Study

# the folder of the artefacts in the folder of the study, until they have been measured
_ARTEFACTS = ".latency"
# the seconds for all artefacts together
_SECONDS = 10.0
# the export of a network for its latency: it is compared on the few examples that are drawn
_EXPORT = Finish(predicted=0, compared=0, exports=True, files=False)


def check(format: str) -> None:
    """Check that a format can be used.

    Raises:
        ValueError: If it is unknown.
        ImportError: If its packages are not installed.
    """
    FORMATS[choice("format", format, FORMATS)].require()


def unmeasured(study: "Study", format: str) -> list[TrialResult]:
    """Return a trial of each network whose latency in a format is not known. A failed trial may have no network."""
    known = [each.network for each in study.results.latencies.formats.get(format, ())]
    trials = {_name(study, trial): trial for trial in study.results.trials if trial.outcome != "failed"}
    return [trial for trial in trials.values() if study.space.network_of(trial.values) not in known]


def seconds_to_measure(study: "Study", format: str) -> float:
    """Estimate the seconds that `measure` takes. 0 if there is nothing to measure."""
    trials = unmeasured(study, format)
    if not trials:
        return 0.0
    slow = slowness(study.space.network(min(study.space.depths)))
    return _SECONDS + len(trials) * _EXPORT.seconds(0.0, slow)


def measure(study: "Study", format: str) -> list[Latency]:
    """Measure the latencies that are not known.

    Args:
        study: The `Study`, whose folder exists. Only one process at a time may measure it.
        format: String, the name of the format.
    """
    folder = study.directory / _ARTEFACTS
    trials = {_name(study, trial): trial for trial in unmeasured(study, format)}
    artefacts = {name: folder / format / name / "1" for name in trials}
    for name, path in artefacts.items():
        if not _is_written(path):
            FORMATS[format].export(study.space.build_configuration(trials[name].values, seed=0), path)
    calls = {name: open_calls(FORMATS[format], path)(1) for name, path in artefacts.items()}
    times = medians(calls, _SECONDS) if calls else {}
    shutil.rmtree(folder, ignore_errors=True)
    return [
        Latency(study.space.network_of(trials[name].values), float(f"{1e3 * seconds:.4g}"))
        for name, seconds in times.items()
    ]


def _is_written(path: Path) -> bool:
    """Return whether a call that was interrupted has written an artefact. A damaged one is removed."""
    if not path.exists():
        return False
    with suppress(FileNotFoundError):
        if not verify(path, checksums_only=True)[0].problems:
            return True
    shutil.rmtree(path)
    return False


def _name(study: "Study", trial: TrialResult) -> str:
    """Return the name of the folder for the network of a trial."""
    return hashlib.sha256(json_text(study.space.network_of(trial.values)).encode()).hexdigest()[:16]
