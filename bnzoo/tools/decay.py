"""The variables to exclude from weight decay."""

import keras

_DECAYED = ("kernel", "embeddings")


def no_decay_variables(model: keras.Model) -> list[keras.Variable]:
    """Return the trainable variables to exclude from weight decay: all but kernels of linear layers and embeddings.

    Decay of gamma only changes the scale of the norm's output, which the next layer has to compensate. Excluded are
    gamma and beta, the `scale` of RMS norm, tau, alpha, v, biases, class tokens and position embeddings.

    Keras does not save `exclude_from_weight_decay` with a model: call it again after loading, before you continue the
    training.

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
