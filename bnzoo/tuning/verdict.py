"""What a study says, in sentences, and what should keep its reader from believing it too soon."""

from dataclasses import dataclass, field

from bnzoo.tuning.results import Results


@dataclass(frozen=True)
class Verdict:
    """The finding of a study.

    Attributes:
        sentence: String, the best configuration and what it reaches.
        warnings: List of strings, why the finding may not hold.
    """

    sentence: str
    warnings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join([self.sentence, *(f"warning: {warning}" for warning in self.warnings)])


def verdict(results: Results) -> Verdict:
    """The finding of a study and its warnings."""
    warnings = []
    if len(results) < results.size:
        warnings.append(f"the study is not finished: {len(results)} of {results.size} trials")
    if failed := results.counts["failed"]:
        warnings.append(f"{failed} trial{'s' * (failed > 1)} raised an error; results.json has the traceback")
    usable = results.usable
    if usable.empty:
        return Verdict("No configuration is usable: every one stalled, diverged or failed.", warnings)
    best = usable.iloc[0]
    sentence = f"Best: {_words(best)}: validation accuracy {best['accuracy']:.2%}, loss {best['score']:.4f}."
    return Verdict(sentence, warnings + _edges(results, best) + _seeds(results, best) + _moving(results, best))


def _words(configuration: dict) -> str:
    depth, norm, rate = (configuration[key] for key in ("depth", "norm", "learning_rate"))
    return f"depth {depth}, norm {norm}, learning rate {rate:.4g}"


def _edges(results: Results, best: dict) -> list[str]:
    found = []
    space = results.definition["space"]
    for name, column, values in (
        ("learning rate", "learning_rate", space["learning_rates"]),
        ("depth", "depth", space["depths"]),
    ):
        low, high = min(values), max(values)
        if low < high and best[column] in (low, high):
            side, direction = ("lowest", "lower") if best[column] == low else ("highest", "higher")
            found.append(
                f"the best {name} {best[column]:.4g} is at the edge of the range ({side} tried): search {direction} too"
            )
    return found


def _seeds(results: Results, best: dict) -> list[str]:
    if results.definition["seeds"] == 1:
        return ["one seed: how far chance alone moves these figures is not known; --seeds 3 tells"]
    if len(results.usable) < 2:
        return []
    second = results.usable.iloc[1]
    gap = second["score"] - best["score"]
    spread = max(best["spread"], second["spread"])
    if spread <= gap:
        return []
    return [
        f"the seeds differ by more than the gap: {spread:.4f} between seeds, {gap:.4f} to the second best "
        f"({_words(second)})"
    ]


def _moving(results: Results, best: dict) -> list[str]:
    other = results.usable.sort_values("moving_score", kind="stable").iloc[0]
    keys = ["depth", "norm", "learning_rate"]
    if all(other[key] == best[key] for key in keys):
        return []
    return [f"the moving statistics would have chosen another configuration: {_words(other)}"]
