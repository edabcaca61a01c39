"""Options that all families share."""

import inspect
import itertools

import keras
import numpy as np
import pytest
from backend import at_inference, gradients
from tiers import tiered
from zoo import FAMILIES, build, examples, shaken, state, trainable, without_values

import bnzoo

RESIDUAL = ("resnet", "mlp_residual", "vit")
BUILDERS = (bnzoo.ResNet, bnzoo.DenseNet, bnzoo.MLP, bnzoo.ViT)
COMMON = ("norm", "placement", "activation", "features", "kernel_regularizer")


def covering(names, values, also):
    """Return every name with the first value and some names with each other value. The other pairs are nightly."""
    pairs = list(itertools.product(names, values))
    return tiered(pairs, plain=[(name, value) for name, value in pairs if value == values[0] or name in also])


@pytest.mark.parametrize("builder", BUILDERS, ids=lambda builder: builder.__name__)
def test_arguments_stand_in_the_order_of_keras(builder):
    positional = list(inspect.signature(keras.applications.ResNet50).parameters)
    parameters = inspect.signature(builder).parameters
    names = list(parameters)
    start = names.index("include_top")
    assert names[start : start + len(positional)] == positional
    assert {parameters[name].kind for name in COMMON} == {inspect.Parameter.KEYWORD_ONLY}
    text = builder.__doc__
    assert "{" not in text.split("Args:")[1].split("Returns:")[0]
    for name in names:
        assert f"\n        {name}: " in text, name


def test_variants_take_positional_arguments_and_refuse_what_is_too_much():
    model = without_values(bnzoo.ResNet18, True, None, None, (32, 32, 3), None, 7, None, "mine")
    assert (model.output_shape, model.name) == ((None, 7), "mine")
    with pytest.raises(TypeError, match="takes 8 positional arguments"):
        bnzoo.ResNet18(True, None, None, (32, 32, 3), None, 7, None, "mine", "batch")
    with pytest.raises(TypeError, match="multiple values for argument 'include_top'"):
        bnzoo.ResNet18(True, include_top=False)
    assert "ResNet50" in bnzoo.ResNet50.__doc__
    assert bnzoo.ResNet50.__name__ == "ResNet50"


@pytest.mark.parametrize(
    ("name", "residual_init", "placement", "layers"),
    [
        ("resnet", "zero_gamma", "post", ("conv3_block1_out_act", "conv3_block2_out_act")),
        ("resnet", "zero_gamma", "act_norm", ("conv3_block1_add", "conv3_block2_add")),
        ("resnet", "zero_gamma", "relu_before_addition", ("conv3_block1_add", "conv3_block2_add")),
        ("resnet", "skipinit", "pre", ("conv3_block1_add", "conv3_block2_add")),
        ("resnet", "skipinit", "post", ("conv3_block1_out_act", "conv3_block2_out_act")),
        ("vit", "skipinit", "pre", ("position_embedding", "block2_mlp_add")),
        ("vit", "zero_gamma", "peri", ("position_embedding", "block2_mlp_add")),
    ],
)
def test_a_residual_branch_starts_at_zero(name, residual_init, placement, layers):
    """A new block is the identity, and its branch has gradients."""
    model = build(name, residual_init=residual_init, placement=placement)
    probe = keras.Model(model.input, [model.get_layer(layer).output for layer in layers])
    x = examples(model)
    before, after = (np.asarray(tensor) for tensor in probe(x))
    np.testing.assert_array_equal(after, before)
    assert np.abs(before).max() > 0
    open_gate = {"zero_gamma": "gamma", "skipinit": "alpha"}[residual_init]
    moving = [
        np.abs(gradient).max()
        for variable, gradient in zip(model.trainable_variables, gradients(model, x), strict=True)
        if variable.name == open_gate
    ]
    assert max(moving) > 0
    untouched = without_values(build, name, placement=placement)
    extra = sum("skip_init" in layer.name for layer in model.layers)
    assert trainable(model) == trainable(untouched) + extra


@pytest.mark.parametrize("name", RESIDUAL)
def test_drop_path_leaves_whole_branches_out_in_training_only(name):
    model = shaken(build(name, drop_path_rate=0.5, norm="rms", placement="pre"))
    plain = build(name, norm="rms", placement="pre")
    values = {variable.path: np.asarray(variable) for variable in model.trainable_variables}
    for variable in plain.trainable_variables:
        variable.assign(values[variable.path])
    x = examples(model, 64)
    np.testing.assert_allclose(np.asarray(model(x)), np.asarray(plain(x)), rtol=1e-6, atol=1e-6)

    paths = [layer for layer in model.layers if layer.name.endswith("_drop_path")]
    blocks = sorted({layer.rate for layer in paths})
    np.testing.assert_allclose(blocks, 0.5 * np.arange(1, len(blocks) + 1) / len(blocks))
    last = paths[-1]
    branch = np.asarray(last(np.ones((1000, *last.output.shape[1:]), "float32"), training=True))
    kept = branch.reshape(1000, -1)
    assert (kept == kept[:, :1]).all()
    assert set(np.unique(kept)) == {0, 2}
    assert 0.4 < kept[:, 0].mean() / 2 < 0.6


SEVERAL_BRANCHES = {"resnet": ({}, 3), "vit": ({}, 4), "mlp_residual": ({"widths": (6, 4, 6, 4, 6)}, 2)}


@pytest.mark.parametrize(
    ("name", "scale", "factor", "options"),
    [
        ("resnet", "1/depth", 1 / 3, {"placement": "pre", "residual_init": "skipinit", "drop_path_rate": 0.5}),
        ("resnet", "1/sqrt(depth)", 3**-0.5, {"placement": "after_addition", "se_ratio": 0.5}),
        ("vit", "1/depth", 1 / 4, {"layer_scale_init": 0.1, "dropout_rate": 0.2}),
        ("vit", "1/sqrt(depth)", 1 / 2, {"placement": "peri", "residual_init": "zero_gamma"}),
        ("mlp_residual", "1/sqrt(depth)", 2**-0.5, {"placement": "act_norm"}),
        ("mlp_residual", 0.3, 0.3, {"norm": None}),
    ],
)
def test_each_branch_is_scaled_before_the_addition(name, scale, factor, options):
    options = {**SEVERAL_BRANCHES[name][0], **options}
    plain = shaken(build(name, **options))
    model = build(name, branch_scale=scale, **options)
    model.set_weights(plain.get_weights())
    scaled = [layer for layer in model.layers if layer.name.endswith("_branch_scale")]
    additions = [layer for layer in model.layers if isinstance(layer, keras.layers.Add)]
    assert len(scaled) == len(additions) == SEVERAL_BRANCHES[name][1]
    assert {layer.name for layer in model.layers} - {layer.name for layer in plain.layers} == {s.name for s in scaled}
    probe = keras.Model(model.input, [(s.input, a.input[0], a.output) for s, a in zip(scaled, additions, strict=True)])
    for branch, trunk, total in probe(examples(model)):
        branch, trunk, total = (np.asarray(tensor, "float64") for tensor in (branch, trunk, total))
        assert np.abs(branch).max() > 0
        np.testing.assert_allclose(total, trunk + factor * branch, rtol=1e-5, atol=1e-6)


def test_a_scaled_residual_mlp_is_the_formula():
    """The network of `h + f(h) / depth`, computed in NumPy in float64."""
    model = shaken(build("mlp_residual", widths=(6, 4, 6, 4, 6), norm=None, placement="pre", branch_scale="1/depth"))
    x = examples(model)
    kernels, biases = ([np.asarray(w, "float64") for w in model.get_weights()[start::2]] for start in (0, 1))

    def layer(i, h):
        return h @ kernels[i] + biases[i]

    h = np.maximum(layer(0, x), 0)  # the shortcut of the first block starts behind its activation
    h = h + layer(2, np.maximum(layer(1, h), 0)) / 2
    h = h + layer(4, np.maximum(layer(3, np.maximum(h, 0)), 0)) / 2
    np.testing.assert_allclose(np.asarray(model(x)), layer(5, np.maximum(h, 0)), rtol=1e-4, atol=1e-5)


def test_a_network_of_one_block_has_the_rate_it_was_given():
    model = bnzoo.ResNet((1,), stem="cifar", filters=4, input_shape=(8, 8, 2), drop_path_rate=0.3)
    assert model.get_layer("conv2_block1_drop_path").rate == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("resnet", {}, {"P0": (8, 8, 4), "P1": (4, 4, 8)}),
        ("densenet", {}, {"P0": (8, 8, 12), "P1": (4, 4, 9)}),
        ("vit", {}, {"block1": (5, 8), "block2": (5, 8)}),
        ("mlp", {}, {"hidden_1": (6,), "hidden_2": (6,)}),
        ("mlp_residual", {}, {"hidden_1": (6,), "block_1": (6,)}),
    ],
)
def test_features(name, options, expected):
    model = build(name, include_top=False, features=True, **options)
    outputs = model(examples(model, 2))
    assert {stage: tuple(output.shape[1:]) for stage, output in outputs.items()} == expected
    top = build(name, include_top=False)
    top.set_weights(model.get_weights())
    last = list(expected)[-1]
    np.testing.assert_array_equal(np.asarray(outputs[last]), np.asarray(top(examples(model, 2))))


@pytest.mark.slow
@pytest.mark.parametrize("builder", [bnzoo.ResNet50, bnzoo.DenseNet121], ids=lambda builder: builder.__name__)
@pytest.mark.parametrize("placement", ["post", "pre"])
def test_the_pyramid_of_the_imagenet_networks(builder, placement):
    model = without_values(builder, include_top=False, features=True, input_shape=(64, 96, 3), placement=placement)
    shapes = {level: output.shape[1:3] for level, output in model.output.items()}
    assert shapes == {"P2": (16, 24), "P3": (8, 12), "P4": (4, 6), "P5": (2, 3)}


@pytest.mark.parametrize("name", FAMILIES)
def test_regularizers_see_every_kernel_and_no_norm(name):
    norm = "layer" if name == "vit" else "batch"
    model = build(name, kernel_regularizer=keras.regularizers.L2(0.5), norm=norm)
    model(examples(model))
    kernels = [variable for variable in model.trainable_variables if variable.name == "kernel"]
    expected = sum(0.5 * np.square(np.asarray(kernel, "float64")).sum() for kernel in kernels)
    assert float(sum(model.losses)) == pytest.approx(expected, rel=1e-5)
    assert len(model.losses) == len(kernels)


@pytest.mark.parametrize(
    ("name", "policy"),
    covering(FAMILIES, ["mixed_bfloat16", "mixed_float16", "float64"], also=["resnet", "vit"]),
)
def test_dtype_policies(name, policy):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX computes in float64 only where the whole process was told to")
    if (name, policy) == ("vit", "mixed_float16") and keras.backend.backend() == "jax":
        pytest.skip("JAX has no attention in float16 on CPU")
    keras.config.set_dtype_policy(policy)
    try:
        model = build(name, classifier_activation="softmax")
        variables = {str(variable.dtype) for variable in model.variables if "seed" not in variable.name}
        logits = model.get_layer("logits").output.dtype
        x = examples(model)
        probabilities = np.asarray(model(x))
        gradient = gradients(model, x, lambda y: keras.ops.sum(y[:, 0]))
    finally:
        keras.config.set_dtype_policy("float32")
    assert variables == {"float64" if policy == "float64" else "float32"}
    assert logits == policy.removeprefix("mixed_")
    assert probabilities.dtype == ("float64" if policy == "float64" else "float32")
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    assert all(np.isfinite(g).all() for g in gradient)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FAMILIES if not name.startswith("mlp")])
def test_channels_first_is_the_same_function(name):
    options = {"resnet": {"block": "bottleneck", "se_ratio": 0.5, "stem": "deep", "shortcut": "avg_projection"}}
    options = {"input_shape": (16, 16, 2), "norm": {"name": "group", "groups": 2}, **options.get(name, {})}
    model = shaken(build(name, **options))
    x = examples(model, 2)
    keras.config.set_image_data_format("channels_first")
    try:
        first = build(name, **{**options, "input_shape": (2, 16, 16)})
        first.set_weights(model.get_weights())
        outputs = np.asarray(at_inference(first)(x.transpose(0, 3, 1, 2)))
    finally:
        keras.config.set_image_data_format("channels_last")
    np.testing.assert_allclose(outputs, np.asarray(model(x)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "norm"), covering(FAMILIES, ["batch", "rms", "dynamic_tanh"], also=["vit"]))
def test_weight_decay_leaves_out_all_but_kernels(name, norm):
    model = (
        build(name, norm=norm, residual_init="skipinit" if name in RESIDUAL else None)
        if name != "densenet"
        else (build(name, norm=norm))
    )
    left_out = bnzoo.no_decay_variables(model)
    decayed = [v for v in model.trainable_variables if not any(v is other for other in left_out)]
    assert {v.name for v in decayed} == {"kernel"}
    assert {v.name for v in left_out} >= {"bias", {"batch": "beta", "rms": "scale", "dynamic_tanh": "alpha"}[norm]}
    # one step with zero gradients: only weight decay changes variables
    before = [np.asarray(v) for v in model.trainable_variables]
    optimizer = keras.optimizers.SGD(0.5, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_list=left_out)
    optimizer.build(model.trainable_variables)
    optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for variable, value in zip(model.trainable_variables, before, strict=True):
        factor = 0.95 if variable.name == "kernel" else 1
        np.testing.assert_allclose(np.asarray(variable), factor * value, rtol=1e-5, err_msg=variable.path)


@pytest.mark.slow
def test_memory_efficient_is_the_same_training():
    """The recomputed and the plain network have equal outputs, gradients and moving statistics."""
    options = {"blocks": (3, 2), "dropout_rate": 0.0}
    plain, efficient = shaken(build("densenet", **options)), build("densenet", memory_efficient=True, **options)
    efficient.set_weights(plain.get_weights())
    assert [w.path.split("/")[-2:] for w in efficient.weights] == [w.path.split("/")[-2:] for w in plain.weights]
    x = examples(plain)
    for left, right in zip(gradients(plain, x), gradients(efficient, x), strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-4, atol=1e-5)
    before = plain.get_weights()
    for model in (plain, efficient):
        model.compile("sgd", "mse")
        model.fit(x, np.zeros((len(x), 3)), epochs=2, shuffle=False, verbose=0)
    assert any((a != b).any() for a, b in zip(before, plain.get_weights(), strict=True))
    for left, right in zip(plain.get_weights(), efficient.get_weights(), strict=True):
        np.testing.assert_allclose(right, left, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_inputs_and_heads(name):
    tensor = keras.Input(build(name).input_shape[1:])
    model = build(name, input_tensor=keras.layers.Rescaling(0.5)(tensor), input_shape=None, classes=4)
    assert model.input is tensor
    assert model.output_shape == (None, 4)
    assert model.layers[-1].name == "logits"
    bare = build(name, include_top=False)
    assert not any(layer.name == "logits" for layer in bare.layers)
    if not name.startswith("mlp"):
        width = bare.output_shape[-1]
        means, largest = (build(name, include_top=False, pooling=pooling) for pooling in ("avg", "max"))
        assert means.output_shape == largest.output_shape == (None, width)
        for pooled, reduce in ((means, np.mean), (largest, np.max)):
            pooled.set_weights(bare.get_weights())
            x = examples(bare)
            outputs = np.asarray(bare(x))
            outputs = outputs[:, 1:] if name == "vit" else outputs.reshape(len(x), -1, width)
            np.testing.assert_allclose(np.asarray(pooled(x)), reduce(outputs, axis=1), rtol=1e-4, atol=1e-6)


def test_images_of_any_size():
    model = bnzoo.ResNet((1, 1), "basic", filters=4, input_shape=(None, None, 3), classes=4)
    assert np.asarray(model(np.zeros((1, 40, 50, 3)))).sum() == pytest.approx(1, abs=1e-5)


def test_regression_and_features_of_an_mlp():
    model = bnzoo.MLP(widths=(8, 4), input_shape=(3,), classes=1, classifier_activation=None)
    assert [layer.units for layer in model.layers if isinstance(layer, keras.layers.Dense)] == [8, 4, 1]
    assert model.output_shape == (None, 1)
    assert bnzoo.MLP(widths=(8, 4), input_shape=(3,), classes=None).output_shape == (None, 4)
    assert state(bnzoo.MLP(widths=(8, 4), input_shape=(3,))) == 2 * 12
