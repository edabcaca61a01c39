"""`bnzoo tune --latency`."""

from typing import TYPE_CHECKING

import typer

from bnzoo.cli.console import mistakes, quietly, say
from bnzoo.cli.waiting import waiting

if TYPE_CHECKING:
    from bnzoo.tuning import Study

# the largest share of the remaining budget: the rest is for the final training and the export
_SHARE = 0.25


def measure_latency(study: "Study", format: str, left: float | None) -> None:
    """Measure the latencies of the networks of a study, if the budget has the time for it.

    Args:
        study: The `Study`, which has run.
        format: String, the format.
        left: Float, the seconds of the budget that are left; `None` without a budget.
    """
    from bnzoo.tuning.latency import seconds_to_measure
    from bnzoo.tuning.planning import duration

    needed = 0.0 if left is None else seconds_to_measure(study, format)
    if left is not None and needed > _SHARE * left:
        say(
            f"warning: the latency was not measured: it takes about {duration(needed)}, more than a quarter of the "
            f"{duration(left)} that are left of the budget. Run the same command without --budget, or with a longer one"
        )
        return
    with mistakes(ValueError, OSError, ImportError):
        try:
            with waiting("measuring the latency of each network"), quietly():
                study.measure_latency(format)
        except RuntimeError as error:  # an artefact differs from its model: the search is worth no less
            say(f"warning: the latency was not measured: {error}")
        except KeyboardInterrupt as error:
            say("stopped: the same command continues with the other networks")
            raise typer.Exit(130) from error
