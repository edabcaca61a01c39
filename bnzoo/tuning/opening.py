"""A study from its folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bnzoo.data import Dataset
from bnzoo.tuning.folder import DEFINITION, stored_definition
from bnzoo.tuning.planning import StudyPlan
from bnzoo.tuning.spaces import SPACES, Space
from bnzoo.tuning.storage import JOURNAL
from bnzoo.tuning.study import Study

# arguments that a definition has if they differ from their default
_LATER = ("objective", "class_weight", "precision", "equal")


def require_definition(folder: Path) -> dict[str, Any]:
    """Return the definition of the study in a folder.

    Raises:
        ValueError: If there is none, or it is damaged.
    """
    definition = stored_definition(folder)
    if definition is None:
        raise ValueError(f"{folder} has no study: {DEFINITION} is missing. Pass the folder of `bnzoo tune`.")
    return definition


def open_study(folder: Path, data: Dataset) -> Study:
    """Return the study in a folder.

    Args:
        folder: The folder.
        data: The `Dataset` of the study.

    Raises:
        ValueError: If the folder has no study, its definition is damaged, or the study has other data, a database or a
            function `measure`.
    """
    definition = require_definition(folder)
    if "measure" in definition or not (folder / JOURNAL).exists():
        missing = "its function `measure`" if "measure" in definition else f"its trials: it has no {JOURNAL}"
        raise ValueError(
            f"{folder} is not enough to open its study, since it lacks {missing}. Pass `measure` or the URL of the "
            "database as `storage` to `bnzoo.tuning.Study` in Python, and call its `train`."
        )
    try:
        augment = definition["data"].get("augment", ())
        arguments: dict[str, Any] = {
            "seeds": definition["seeds"],
            "epochs": definition["epochs"],
            "sampler": definition["sampler"]["name"],
            "sampler_seed": definition["sampler"]["seed"],
            "pruner": definition["pruner"] and definition["pruner"]["name"],
            "enqueue": definition["enqueue"],
            "plan": StudyPlan.from_config(definition["plan"]) if "plan" in definition else None,
            **{name: definition[name] for name in _LATER if name in definition},
        }
        space = _space(definition["space"])
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"{folder / DEFINITION} is damaged: {error!r}. Restore it from a copy.") from error
    return Study(space, replace(data, augment=",".join(augment)) if augment else data, folder, **arguments)


def _space(config: dict[str, Any]) -> Space:
    rates = config["learning_rates"]
    others = {name: value for name, value in config.items() if name not in ("family", "learning_rates")}
    return SPACES[config["family"]](learning_rates=(rates[0], rates[-1], len(rates)), **others)
