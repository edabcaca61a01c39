"""What is said of batch normalization, tried: a file a claim, each with its criterion fixed before the run."""

# in the order in which they are told: first those of the article that this project began from
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
)
