"""The finalists of a study: the best configurations, which are trained again with seeds that the search did not use.

The workers of a study agree on them through its storage: the first one that lists the finalists decides. A later
confirmation adds those that are missing. Each finalist is listed by the index of a trial of the search.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optuna.trial import FrozenTrial

from bnzoo.errors import positive_integer
from bnzoo.tuning.limits import SEEDS
from bnzoo.tuning.objective import Objective
from bnzoo.tuning.plans import Plan
from bnzoo.tuning.results import Results
from bnzoo.tuning.shared import SharedStudy

if TYPE_CHECKING:
    from bnzoo.tuning.records import Stored

# a single seed has no interval
FEWEST = 2
# the numbers of its trials begin here: those of a search are smaller
FIRST_TRIAL = 1_000_000
# the key of the attribute for each list, with its number
_LIST = "bnzoo:finalists:{}"


@dataclass(frozen=True)
class Finalists:
    """The finalists of a study.

    Attributes:
        seeds: Integer, the new seeds of each of them.
        trials: List of integers, a trial of the search for each of them.
    """

    seeds: int
    trials: list[int]


class FinalistPlan(Plan):
    """The plan of a confirmation: the finalists, in the order in which they were listed.

    Args:
        finalists: The `Finalists`.
        trials: Dict of the trials of the search by index.
    """

    def __init__(self, finalists: Finalists, trials: Mapping[int, FrozenTrial]) -> None:
        self._configurations = [trials[number] for number in finalists.trials]
        self.size = len(self._configurations)

    def configuration(self, position: int, history: Sequence[FrozenTrial]) -> FrozenTrial:
        """Return the finalist at this position. The history does not matter."""
        return self._configurations[position]


def check_seeds(seeds: int) -> int:
    """Return a number of seeds that has an interval. Raise `ValueError` if it is not one."""
    if positive_integer("seeds", seeds, SEEDS) < FEWEST:
        raise ValueError(f"`seeds` must be at least {FEWEST}: a single seed has no interval. Received: seeds={seeds!r}")
    return seeds


def best_trials(results: Results, top: int) -> list[int]:
    """Return a trial for each of the best configurations of the search."""
    rows = results.usable.head(top)[list(results.axes)].to_dict("records")
    return [results.of(dict(row))[0].trial for row in rows]


def listed(shared: SharedStudy, known: Container[int]) -> Finalists | None:
    """Return the finalists of a study, or `None` if there are none.

    Args:
        shared: The `SharedStudy`.
        known: The indices of the trials of the search.

    Raises:
        ValueError: If the storage is damaged.
    """
    seeds, trials = 0, list[int]()
    while (entry := shared.get_attribute(_LIST.format(len(trials)))) is not None:
        try:
            seeds, more = _entry(entry, known)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{shared.location}: the finalists of the study {shared.name!r} cannot be read. Restore the storage "
                "from a copy, or choose another folder or `name`."
            ) from error
        trials += more
    return Finalists(seeds, trials) if trials else None


def add(shared: SharedStudy, trials: Sequence[int], seeds: int) -> Finalists:
    """List trials of the search as finalists, unless they are listed, and return all finalists.

    Raises:
        ValueError: If the finalists have another number of seeds.
    """
    while True:
        found = listed(shared, shared.trials()) or Finalists(seeds, [])
        if found.seeds != seeds:
            raise ValueError(
                f"The confirmation of this study has {found.seeds} seeds. Received: seeds={seeds!r}. Pass "
                f"seeds={found.seeds}"
            )
        missing = [trial for trial in trials if trial not in found.trials]
        if not missing:
            return found
        # if another worker is faster, its list counts, and is read in the next round
        shared.set_first(_LIST.format(len(found.trials)), {"seeds": seeds, "trials": missing})


def confirmation_of(
    stored: "Stored", definition: dict[str, Any], objective: Objective, baseline: float
) -> Results | None:
    """Return the results of the confirmation of a study, or `None` if it has not begun.

    Args:
        stored: The `Stored` trials.
        definition: Dict, the definition of the study.
        objective: As in `Results`.
        baseline: As in `Results`.
    """
    results, finalists = stored.confirmations, stored.finalists
    if finalists is None:
        return None
    done = {result.trial - FIRST_TRIAL for result in results}
    wanted = [
        {**stored.trials[number].params, "seed": definition["seeds"] + seed}
        for number in finalists.trials
        for seed in range(finalists.seeds)
    ]
    not_tried = [values for number, values in enumerate(wanted) if number not in done]
    return Results(results, {**definition, "seeds": finalists.seeds}, not_tried, objective, baseline)


def _entry(entry: Any, known: Container[int]) -> tuple[int, list[int]]:
    seeds, trials = entry["seeds"], entry["trials"]
    if type(seeds) is not int or seeds < FEWEST or not trials or not all(trial in known for trial in trials):
        raise ValueError
    return seeds, trials
