"""Experiments on claims about batch normalization: one file per claim, with a criterion fixed before the run."""

# The order of the pages. The claims of the article that started this project come first.
NAMES = (
    "accuracy",
    "learning_rate",
    "regularization",
    "saturation",
    "initialization",
    "depth",
    "seeds",
    "batch_size",
    "placement",
    "smoothness",
    "transformers",
    "rate_over_depth",
)


class FailedTrialsError(RuntimeError):
    """An error that is raised instead of a verdict, since trials have failed."""
