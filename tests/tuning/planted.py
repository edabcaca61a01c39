"""Results that were made up, to see what is concluded from them."""

import math

from bnzoo.tuning import Results, TrialResult


def planted(scores, depths=(8, 14), norms=("batch", None), rates=(0.01, 0.1, 1.0), seeds=1, moving=None, finished=True):
    """Results from a function of depth, norm, learning rate and seed; `inf` is diverged, "boom" failed."""
    trials = []
    for depth in depths:
        for norm in norms:
            for rate in rates:
                for seed in range(seeds):
                    trials.append(_trial(len(trials), depth, norm or "none", rate, seed, scores, moving))
    definition = {
        "space": {
            "family": "resnet",
            "depths": list(depths),
            "norms": list(norms),
            "learning_rates": list(rates),
            "placement": "pre",
        },
        "data": {"name": "planted", "classes": 10},
        "seeds": seeds,
        "epochs": 2,
        "batch_size": 64,
    }
    return Results(trials if finished else trials[:-1], definition)


def _trial(index, depth, norm, rate, seed, scores, moving):
    cap = 2 * math.log(10)
    score = scores(depth, norm, rate, seed)
    common = {"trial": index, "depth": depth, "norm": norm, "learning_rate": rate, "seed": seed}
    if score == "boom":
        return TrialResult(**common, outcome="failed", reason="Boom: <b>", score=cap, traceback="Traceback ...")
    lost = not math.isfinite(score)
    loss = math.nan if lost else score
    return TrialResult(
        **common,
        outcome="diverged" if lost else "ok",
        reason="the training loss became infinite or NaN" if lost else "",
        score=cap if lost else score,
        loss=loss,
        accuracy=0.1 if lost else 1 - score / 5,
        moving_loss=loss if moving is None else moving(depth, norm, rate, seed),
        moving_accuracy=0.5,
        history={"loss": [2.0, score], "val_loss": [2.1, score]}
        if not lost
        else {"loss": [math.nan], "val_loss": [1.0]},
        versions={"bnzoo": "0"},
    )
