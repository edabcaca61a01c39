"""Planted results, to test the conclusions from them."""

import inspect
import itertools
import math
from dataclasses import replace

from bnzoo.tuning.objective import score_cap
from bnzoo.tuning.results import Results
from bnzoo.tuning.trial_result import TrialResult


def planted(
    scores,
    depths=(8, 14),
    norms=("batch", None),
    rates=(0.01, 0.1, 1.0),
    seeds=1,
    moving=None,
    finished=True,
    classes=10,
    more=None,
    workers=0,
    skip=lambda values: False,
    counts=None,
):
    """Return results from a function of depth, norm, learning rate and seed.

    Its `inf` is diverged, "boom" failed, `("pruned", score)` pruned at that score. `more` are further axes, of
    which the function is told those that it names; `workers` take turns; `skip` says what is not tried, and without
    `finished` the last is not. `counts` is a function of the values that returns parameters and multiplications.
    """
    more = more or {}
    axes = {"depth": depths, "norm": [norm or "none" for norm in norms], **more, "learning_rate": rates}
    told = [axis for axis in more if axis in inspect.signature(scores).parameters]
    trials, not_tried = [], []
    grid = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    for index, (values, seed) in enumerate(itertools.product(grid, range(seeds))):
        if skip(values) or (not finished and index == len(grid) * seeds - 1):
            not_tried.append({**values, "seed": seed})
            continue
        given = (values["depth"], values["norm"], values["learning_rate"], seed)
        score = scores(*given, **{axis: values[axis] for axis in told})
        moving_loss = None if moving is None else moving(*given)
        cost = dict(zip(("parameters", "multiplications"), counts(values), strict=True)) if counts else {}
        trials.append(replace(_trial(index, values, seed, score, moving_loss, classes, workers), **cost))
    return Results(trials, _definition(depths, norms, rates, seeds, classes, more), not_tried)


def _definition(depths, norms, rates, seeds, classes, more):
    space = {"family": "resnet", "depths": list(depths), "norms": list(norms), "learning_rates": list(rates)}
    fixed = {"placement": "pre", "activation": "relu", "batch_size": 64, "weight_decay": 1e-4}
    return {
        "space": {**space, **fixed, **{axis: list(values) for axis, values in more.items()}},
        "data": {"name": "planted", "classes": classes, "input_shape": [8, 8, 1], "fingerprint": "0"},
        "seeds": seeds,
        "epochs": 2,
        "sampler": {"name": "grid", "seed": 0},
        "pruner": None,
    }


def _trial(index, values, seed, score, moving_loss, classes, workers):
    cap = score_cap("classification" if classes else "regression", classes or 1)
    common = {"trial": index, "values": values, "seed": seed, "versions": {"bnzoo": "0"}}
    if workers:  # each trial takes 4 seconds, the first of each worker 3 more to compile
        turn, lane = divmod(index, workers)
        common |= {"started": 1e9 + 4 * turn + 3 * (turn > 0), "worker": f"host:{lane}"}
        common |= {"compile_seconds": 3.0 * (turn == 0), "train_seconds": 4.0}
    if score == "boom":
        return TrialResult(**common, outcome="failed", reason="Boom: <b>", score=cap, traceback="Traceback ...")
    if isinstance(score, tuple):
        outcome, score = score
        history = {"loss": [2.0], "val_loss": [score]}
        return TrialResult(**common, outcome=outcome, reason="worse than others", score=score, history=history)
    lost = not math.isfinite(score)
    loss = math.nan if lost else score
    return TrialResult(
        **common,
        outcome="diverged" if lost else "ok",
        reason="the training loss became infinite or NaN" if lost else "",
        score=cap if lost else score,
        loss=loss,
        accuracy=0.1 if lost else 1 - score / 5,
        moving_loss=loss if moving_loss is None else moving_loss,
        moving_accuracy=0.5,
        history={"loss": [math.nan], "val_loss": [1.0]} if lost else {"loss": [2.0, score], "val_loss": [2.1, score]},
    )
