"""FlowGMM as a model: its objective, densities, codes and samples, and what build refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import compiled, make_config, perturbed
from jax.extend.core import Primitive
from ml_collections import ConfigDict
from scipy.special import log_softmax, logsumexp

import flowgmm_jax as fg
from flowgmm_jax.data import datasets
from flowgmm_jax.data.base import Info
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.models.build import build_flow
from flowgmm_jax.models.flowgmm import Loss, Prior, flowgmm
from flowgmm_jax.validation import validate

CONFIDENCE, RAMP_STEPS, STEP = 0.5, 8, 2


def vector_config(**loss) -> ConfigDict:
    return make_config(
        data={"name": "eight_gaussians"},
        flow={"name": "vector_realnvp", "steps": 2, "hidden": (8,)},
        prior={"means": "circle", "radius": 2.0},
        loss=loss,
    )


def image_config(**loss) -> ConfigDict:
    return make_config(
        data={"name": "digits"},
        flow={"name": "glow", "stages": ((1, 1),), "width": 4},
        loss=loss,
    )


def examples(config, number=6):
    rng = np.random.default_rng(0)
    info = datasets.info(config.data)
    if info.levels:
        return rng.uniform(0, info.levels, size=(number, *info.shape)).astype(np.float32)
    return 2 * rng.normal(size=(number, *info.shape)).astype(np.float32)


def built(config):
    model = fg.build(config)
    x = examples(config, 32)
    params = perturbed(compiled(model.init)(jax.random.key(0), x, jnp.arange(32) % 3))
    names = ("loss", "class_log_density", "log_density", "encode", "decode", "sample")
    return model._replace(**{name: compiled(getattr(model, name)) for name in names}), params


@pytest.fixture(scope="module")
def vector():
    return built(vector_config())


@pytest.fixture(scope="module")
def image():
    return built(image_config())


@pytest.fixture(params=["vector", "image"])
def case(request):
    """A model with params, and examples for it."""
    config = vector_config() if request.param == "vector" else image_config()
    return *request.getfixturevalue(request.param), examples(config)


def test_the_posterior_is_the_softmax_of_the_joint(case):
    model, params, x = case
    table = np.asarray(model.class_log_density(params, x), np.float64)
    density = np.asarray(model.log_density(params, x), np.float64)
    posterior = np.exp(table - density[:, None])
    np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=1e-4)
    np.testing.assert_allclose(posterior, np.exp(log_softmax(table, axis=1)), rtol=1e-3, atol=1e-6)


def test_the_log_density_is_the_sum_over_the_classes(case):
    model, params, x = case
    table = model.class_log_density(params, x)
    assert table.shape == (len(x), len(model.prior(params).means))
    np.testing.assert_allclose(
        model.log_density(params, x), logsumexp(table, axis=1), rtol=1e-5, atol=1e-5
    )


def test_decode_undoes_encode(case):
    model, params, x = case
    z = model.encode(params, x)
    assert z.shape == (len(x), x[0].size)
    np.testing.assert_allclose(model.decode(params, z), x, atol=1e-4)


def test_samples_have_the_shape_of_examples_and_repeat_with_their_key(case):
    model, params, x = case
    labels = jnp.array([0, 1, 1])
    first, again, other, cold = (
        model.sample(params, jax.random.key(seed), labels, temperature)
        for seed, temperature in [(0, 1.0), (0, 1.0), (1, 1.0), (0, 0.25)]
    )
    assert first.shape == (3, *x.shape[1:])
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first, cold)
    assert not np.allclose(first[1], first[2])


def test_samples_without_temperature_are_the_means(case):
    model, params, _ = case
    z = model.encode(params, model.sample(params, jax.random.key(0), jnp.array([0, 1, 1]), 0.0))
    np.testing.assert_allclose(z, params["prior"].means[jnp.array([0, 1, 1])], atol=2e-3)


@pytest.mark.parametrize("function", ["class_log_density", "log_density", "encode"])
def test_integer_images_are_taken_at_the_centres_of_their_bins(image, function):
    model, params = image
    integers = np.random.default_rng(0).integers(0, 17, size=(6, 8, 8, 1)).astype(np.uint8)
    at_integers, at_centres = (
        getattr(model, function)(params, x) for x in (integers, integers.astype(np.float32) + 0.5)
    )
    np.testing.assert_array_equal(at_integers, at_centres)


def test_compilation_does_not_change_the_log_density(case):
    model, params, x = case
    with jax.disable_jit():
        plain = model.log_density(params, x)
    np.testing.assert_allclose(model.log_density(params, x), plain, rtol=1e-4)


def test_the_log_density_can_be_mapped(case):
    model, params, x = case
    mapped = jax.vmap(model.log_density, in_axes=(None, 0))(params, x[:, None])
    assert mapped.shape == (len(x), 1)
    np.testing.assert_allclose(mapped[:, 0], model.log_density(params, x), rtol=1e-4)


def test_the_log_density_has_a_gradient_and_a_hessian(vector):
    model, params = fg.build(vector_config()), vector[1]
    x = jnp.asarray(examples(vector_config())[0])

    def score(x):
        return model.log_density(params, x[None])[0]

    with jax.enable_x64(True):
        double = jax.tree.map(lambda a: np.asarray(a, np.float64), (params, x))
        step = 1e-5 * np.eye(2)
        values = model.log_density(double[0], np.concatenate([double[1] + step, double[1] - step]))
        slope = np.asarray(values[:2] - values[2:]) / 2e-5
    np.testing.assert_allclose(compiled(jax.grad(score))(x), slope, rtol=1e-3, atol=1e-4)
    hessian = compiled(jax.hessian(score))(x)
    assert np.isfinite(hessian).all()
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-4)


def test_the_log_density_of_images_has_a_hessian_product(image):
    model, params = fg.build(image_config()), image[1]
    x = jnp.asarray(examples(image_config())[:1])
    score = jax.grad(lambda x: model.log_density(params, x).sum())
    product = compiled(jax.grad(lambda x: jnp.vdot(score(x), jnp.ones_like(x))))(x)
    assert np.isfinite(product).all()


@pytest.mark.parametrize("function", ["class_log_density", "log_density", "encode", "init"])
def test_examples_of_another_shape_are_refused(image, function):
    model, params = image
    x = np.zeros((2, 8, 9, 1), np.float32)
    arguments = (jax.random.key(0), x, jnp.zeros(2)) if function == "init" else (params, x)
    with pytest.raises(fg.InputError, match=r"\(2, 8, 9, 1\), expected \(batch, 8, 8, 1\)"):
        getattr(model, function)(*arguments)


def batch_of(config):
    x = examples(config, 12)
    return Batch(x[:4], np.array([0, 2, 1, 1]), x[4:8], x[8:])


def expected_objective(loss, model, params, batch):
    """The objective of the poster from the model's own table, in numpy."""
    labeled, student, teacher = (
        np.asarray(model.class_log_density(params, x), np.float64)
        for x in (batch.x_labeled, batch.x_student, batch.x_teacher)
    )
    log_weights = log_softmax(np.asarray(params["prior"].log_weights, np.float64))
    rows = np.arange(4)
    term = (labeled - log_weights)[rows, batch.y].mean()
    explained = student
    if loss.labeled == "cross_entropy":
        term = log_softmax(labeled, axis=1)[rows, batch.y].mean()
        explained = np.concatenate([labeled, student])
    total = -loss.labeled_weight * term
    total -= loss.marginal_weight * logsumexp(explained, axis=1).mean()
    posterior = np.exp(log_softmax(teacher, axis=1))
    label, confident = posterior.argmax(axis=1), posterior.max(axis=1) >= loss.confidence
    kinds = {
        "class_conditional": student - log_weights,
        "cross_entropy": log_softmax(student, axis=1),
    }
    consistency = (confident * kinds[loss.consistency][rows, label]).mean()
    return total - loss.consistency_weight * (STEP / RAMP_STEPS) * consistency


@pytest.mark.parametrize("labeled", ["class_conditional", "cross_entropy"])
@pytest.mark.parametrize("consistency", ["class_conditional", "cross_entropy"])
def test_the_objective_is_the_weighted_sum_of_its_terms(vector, labeled, consistency):
    _, params = vector
    params["prior"] = params["prior"]._replace(log_weights=jnp.array([0.5, -0.5, 0.1]))
    config = vector_config(
        labeled=labeled,
        labeled_weight=3.0,
        marginal_weight=0.7,
        consistency=consistency,
        consistency_weight=0.9,
        ramp_steps=RAMP_STEPS,
        confidence=CONFIDENCE,
    )
    model, batch = fg.build(config), batch_of(config)
    loss, metrics = compiled(model.loss)(params, batch, jax.random.key(0), STEP)
    expected = expected_objective(config.loss, model, params, batch)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    terms = [metrics[f"loss_{name}"] for name in ("labeled", "marginal", "consistency")]
    np.testing.assert_allclose(sum(terms), loss, rtol=1e-5)


def test_the_marginal_may_have_a_view_of_its_own(vector):
    config = vector_config(marginal_weight=0.7)
    model, params = vector
    batch = batch_of(config)._replace(x_density=examples(config, 3))
    _, metrics = compiled(fg.build(config).loss)(params, batch, jax.random.key(0), STEP)
    expected = -model.log_density(params, batch.x_density).mean()
    np.testing.assert_allclose(metrics["loss_marginal"], 0.7 * expected, rtol=1e-5)
    np.testing.assert_allclose(metrics["bits_per_dim"], expected / (2 * np.log(2)), rtol=1e-5)


def test_means_are_those_of_the_latents_that_carry_the_class():
    weights = Loss("cross_entropy", 1.0, 0.0, "cross_entropy", 0.0, 0, 0.0)
    flow = fg.flows.glow(17, ((1, 1),), width=4)
    model = flowgmm(flow, Info((8, 8, 1), 3), Prior(), weights, class_latents=10)
    x = examples(image_config(), 12)
    params = compiled(model.init)(jax.random.key(0), x, jnp.arange(12) % 3)
    assert model.prior(params).means.shape == (3, 10)
    params = {"flow": perturbed(params["flow"]), "prior": params["prior"]}
    batch = Batch(x[:4], np.array([0, 2, 1, 1]), x[4:8], x[8:])
    loss, _ = compiled(model.loss)(params, batch, jax.random.key(0), STEP)
    table = np.asarray(compiled(model.class_log_density)(params, x[:4]), np.float64)
    expected = -log_softmax(table, axis=1)[np.arange(4), batch.y].mean()
    np.testing.assert_allclose(loss, expected, rtol=1e-3)


def code_config(**loss) -> ConfigDict:
    return make_config(
        data={"name": "digits"},
        flow={
            "name": "pixel_groups",
            "squeezes": 1,
            "class_code": True,
            "width": 4,
            "context_blocks": 0,
            "causal_blocks": 0,
            "components": 1,
            "class_width": 4,
            "class_blocks": 1,
        },
        prior={"means": "split", "radius": 5.0},
        loss={
            "labeled": "cross_entropy",
            "consistency": "cross_entropy",
            "consistency_weight": 1.0,
        }
        | loss,
    )


def test_classes_train_the_network_of_the_code_and_none_of_the_density():
    config = code_config(marginal_weight=0.0)
    model, batch = fg.build(config), batch_of(config)
    params = built(config)[1]
    gradient = jax.grad(lambda p: model.loss(p, batch, jax.random.key(0), STEP)[0])
    *_, of_code, of_second_group, of_first_group = compiled(gradient)(params)["flow"]
    of_density = jax.tree.leaves((of_first_group, of_second_group))
    assert all(np.abs(leaf).max() == 0 for leaf in of_density)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(of_code))


def test_the_density_trains_all_but_the_classifier_and_the_classes_train_it_alone():
    config = code_config()
    params = built(config)[1]
    batch = batch_of(config)._replace(x_density=examples(config, 3))

    def gradient(**weights):
        loss = fg.build(code_config(**weights)).loss
        return compiled(jax.grad(lambda p: loss(p, batch, jax.random.key(0), STEP)[0]))(params)

    of_density = gradient(marginal_weight=1.0, labeled_weight=0.0, consistency_weight=0.0)
    of_classes = gradient(marginal_weight=0.0)
    for total, nothing in ((of_density, of_classes), (of_classes, of_density)):
        is_here = jax.tree.map(lambda leaf: np.abs(leaf).max() > 0, total["flow"])
        assert any(jax.tree.leaves(is_here))
        jax.tree.map(
            lambda here, leaf: here and np.testing.assert_array_equal(leaf, 0),
            is_here,
            nothing["flow"],
        )
    *_, classifier, _, _ = of_classes["flow"]
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(classifier))


def test_a_temperature_divides_the_log_odds(vector):
    config = vector_config(labeled="cross_entropy")
    params, batch = vector[1], batch_of(config)
    loss = Loss(**config.loss)
    info = datasets.info(config.data)
    flow = build_flow(config, info)
    hot = flowgmm(flow, info, Prior(), loss, temperature=3.0)
    _, metrics = compiled(hot.loss)(params, batch, jax.random.key(0), STEP)
    table = np.asarray(vector[0].class_log_density(params, batch.x_labeled), np.float64) / 3
    expected = -log_softmax(table, axis=1)[np.arange(len(batch.y)), batch.y].mean()
    np.testing.assert_allclose(metrics["loss_labeled"], expected, rtol=1e-5)


def test_samples_of_a_model_with_a_code_have_their_class():
    model, params = built(code_config())
    x = model.sample(params, jax.random.key(0), jnp.array([0, 2, 1]), 0.25)
    np.testing.assert_array_equal(model.class_log_density(params, x).argmax(1), [0, 2, 1])


def test_bad_arguments_of_a_flow_are_named():
    config = image_config()
    config.flow.edges = (1,)
    with pytest.raises(fg.InputError, match=r"config.flow: edges are \(1,\)"):
        fg.build(config)


@pytest.mark.parametrize("means", ["data", "random"])
def test_means_that_a_classifier_does_not_move_to_are_refused(means):
    config = code_config()
    config.prior.means = means
    with pytest.raises(fg.InputError, match=f"config.prior.means is '{means}', expected 'split'"):
        validate(config)


def test_metrics_are_those_of_the_batch(vector):
    model, params = vector
    batch = batch_of(vector_config())
    _, metrics = model.loss(params, batch, jax.random.key(0), STEP)
    table = model.class_log_density(params, batch.x_labeled)
    everything = np.concatenate([batch.x_labeled, batch.x_student])
    bits = -model.log_density(params, everything).mean() / (2 * np.log(2))
    np.testing.assert_allclose(metrics["accuracy"], 100 * (table.argmax(1) == batch.y).mean())
    np.testing.assert_array_equal(model.classify(params, batch.x_labeled), table.argmax(1))
    np.testing.assert_allclose(metrics["bits_per_dim"], bits, rtol=1e-5)


@pytest.mark.parametrize("view", ["student", "teacher"])
def test_only_the_student_view_carries_the_gradient_of_the_consistency_term(vector, view):
    config = vector_config(
        labeled_weight=0.0,
        marginal_weight=0.0,
        consistency_weight=1.0,
        consistency="class_conditional",
    )
    model, batch, params = fg.build(config), batch_of(config), vector[1]
    field = {"student": "x_student", "teacher": "x_teacher"}[view]

    def loss(x):
        return model.loss(params, batch._replace(**{field: x}), jax.random.key(0), STEP)[0]

    gradient = compiled(jax.grad(loss))(jnp.asarray(getattr(batch, field)))
    assert (np.abs(gradient).max() > 0) == (view == "student")


@pytest.mark.parametrize("labeled", ["class_conditional", "cross_entropy"])
def test_a_batch_without_unlabelled_examples_has_a_finite_loss(vector, labeled):
    config = vector_config(labeled=labeled, consistency_weight=1.0)
    batch = batch_of(config)
    empty = np.zeros((0, 2), np.float32)
    batch = batch._replace(x_student=empty, x_teacher=empty)
    loss, metrics = fg.build(config).loss(vector[1], batch, jax.random.key(0), STEP)
    assert np.isfinite(loss)
    assert "loss_consistency" not in metrics
    assert all(np.isfinite(value) for value in metrics.values())


def test_every_parameter_of_the_model_has_a_gradient(vector):
    config = vector_config(consistency_weight=1.0)
    model, batch = fg.build(config), batch_of(config)
    loss = compiled(jax.grad(lambda p: model.loss(p, batch, jax.random.key(0), STEP)[0]))
    gradients = loss(vector[1])
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        ("loss", "labeled", "hinge", "config.loss.labeled is 'hinge', expected one of class_con"),
        ("loss", "consistency", "kl", "config.loss.consistency is 'kl', expected one of class_c"),
        ("prior", "means", "ring", "config.prior.means is 'ring', expected one of random"),
        ("flow", "name", "glow", "config.flow.(alpha|stages) is missing"),
        ("flow", "depth", 3, "config.flow.depth is not a field, expected some of .*hidden"),
        ("data", "name", "sun", "config.data.name='sun' is unknown; expected one of moons"),
        ("loss", "temper", 3, "config.loss.temper is not a field.*labeled_weight"),
    ],
)
def test_a_bad_field_is_refused_and_named(section, field, value, message):
    config = vector_config()
    config[section][field] = value
    with pytest.raises(fg.InputError, match=message):
        validate(config)


def test_a_vector_flow_does_not_fit_images():
    config = make_config(data={"name": "digits"}, flow={"name": "vector_realnvp"})
    with pytest.raises(fg.InputError, match="config.flow.name.*image_realnvp.*shape"):
        fg.build(config)


def test_a_missing_argument_of_a_flow_is_named():
    config = make_config(data={"name": "digits"}, flow={"name": "glow"})
    with pytest.raises(fg.InputError, match="config.flow.stages is missing"):
        validate(config)


def test_an_unknown_precision_is_refused():
    config = vector_config()
    config.flow.dtype = "bfloat17"
    with pytest.raises(fg.InputError, match="config.flow.dtype"):
        validate(config)


def test_a_flow_in_bfloat16_gives_a_float32_density(vector):
    config = vector_config()
    config.flow.dtype = "bfloat16"
    x = examples(config)
    assert fg.build(config).log_density(vector[1], x).dtype == np.float32


@pytest.mark.parametrize("name", ["mnist", "cifar10", "digits", "moons"])
def test_build_reads_no_data_and_computes_nothing(monkeypatch, name):
    def refuse(*arguments, **options):
        raise AssertionError("build computed or read something")

    monkeypatch.setattr(datasets, "load", refuse)
    monkeypatch.setattr(datasets, "load_test", refuse)
    monkeypatch.setattr(Primitive, "bind", refuse)
    config = vector_config() if name == "moons" else image_config()
    config.data.name = name
    config.data.data_dir = "/nowhere"
    assert isinstance(fg.build(config), fg.Model)


@pytest.mark.parametrize(
    "name",
    [
        *("build", "load", "load_config", "train", "evaluate", "Model", "InputError"),
        *("flows", "gmm", "losses", "density"),
    ],
)
def test_the_public_names_are_there(name):
    assert name in fg.__all__
    assert getattr(fg, name)
