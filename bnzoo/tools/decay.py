"""Which variables weight decay must leave alone."""

import keras

_DECAYED = ("kernel", "embeddings")


def no_decay_variables(model: keras.Model) -> list[keras.Variable]:
    """The trainable variables that weight decay must leave out: all but the kernels of linear layers and embeddings.

    A gamma that decays changes the norm's scale and nothing else; what follows it pays for that. Left out are gamma and
    beta, the `scale` of RMS norm, tau, alpha, v, biases, class tokens and position embeddings.

    Keras forgets `exclude_from_weight_decay` when a model is saved: say it again after loading, before training goes
    on.

    Args:
        model: Any built `keras.Model`.

    Returns:
        A list of `keras.Variable`.

    Examples:
    >>> optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.05)
    >>> optimizer.exclude_from_weight_decay(var_list=bnzoo.no_decay_variables(model))

    Reference:
        - [He et al., 2019: Bag of tricks](https://arxiv.org/abs/1812.01187), section 3.1
    """
    return [variable for variable in model.trainable_variables if not variable.name.endswith(_DECAYED)]
