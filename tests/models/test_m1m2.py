"""M1+M2 as a model: its objective, the bound and the estimate of its density, its samples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import compiled, make_config
from scipy.special import log_softmax

import flowgmm_jax as fg
from flowgmm_jax.data.base import Info
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.models.m1m2 import build_m1, build_m2, m1m2
from flowgmm_jax.vae.m1 import feature_bound
from flowgmm_jax.vae.m2 import class_tables, marginal_bound
from flowgmm_jax.validation import validate

SIZES = {"hidden": (8, 8), "features": 3, "latents": 2, "class_hidden": (8,)}
IMAGES, VECTORS = Info((8, 8, 1), 4, 17), Info((5,), 4, 0)
CASES = {
    "mlp": (IMAGES, "mlp", "bernoulli"),
    "conv": (IMAGES, "conv", "gaussian"),
    "vectors": (VECTORS, "mlp", "bernoulli"),
}
Y = np.arange(6) % 4


def examples(info, number=6):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, info.levels or 1, (number, *info.shape))
    return jnp.asarray(x, jnp.float32)


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """Data and net, a model with parameters, and examples."""
    info, net, pixels = CASES[request.param]
    model = m1m2(None, info, net=net, pixels=pixels, alpha=0.7, **SIZES)
    x = examples(info)
    params = compiled(model.init)(jax.random.key(0), x, Y)
    names = ("loss", "class_log_density", "log_density", "log_density_estimate", "sample")
    return (
        CASES[request.param],
        model._replace(**{n: compiled(getattr(model, n)) for n in names}),
        params,
        x,
    )


def test_the_loss_is_the_sum_of_the_papers_terms(case):
    (info, net, pixels), model, params, x = case
    batch = Batch(x[:4], jnp.asarray(Y[:4]), x[4:], x[4:])
    key = jax.random.key(3)
    loss, metrics = model.loss(params, batch, key, 0)

    bottom = build_m1(info, net, SIZES["hidden"], 3, pixels)
    top = build_m2(4, SIZES["class_hidden"], 3, 2)

    @compiled
    def papers_terms(params):
        key_1, key_2 = jax.random.split(key)
        q = bottom.infer(params["m1"], 2 * x / info.levels - 1 if info.levels else x)
        z1 = q.at(jax.random.normal(key_1, (6, 3)))
        likelihood = bottom.generate(params["m1"], z1).log_prob(x)
        table = class_tables(top, params["m2"], z1, jax.random.normal(key_2, (6, 2))).bound
        log_q = top.log_posterior(params["m2"], z1)
        labelled = sum(-table[i, Y[i]] for i in range(4))
        unlabelled = -marginal_bound(table, log_q)[4:].sum()
        cross_entropy = sum(-log_q[i, Y[i]] for i in range(4)) / 4
        of_m1 = -feature_bound(likelihood, q).mean()
        return of_m1, (labelled + unlabelled) / 6, 0.7 * cross_entropy

    expected = [float(term) for term in papers_terms(params)]
    found = [float(metrics[f"loss_{name}"]) for name in ("m1", "m2", "classifier")]
    assert found == pytest.approx(expected, rel=1e-4)
    assert float(loss) == pytest.approx(sum(expected), rel=1e-4)


def test_m1_is_trained_by_its_own_bound_alone(case):
    (info, net, pixels), _, params, x = case
    model = m1m2(None, info, net=net, pixels=pixels, **SIZES)
    batch = Batch(x[:4], jnp.asarray(Y[:4]), x[4:], x[4:])

    @compiled
    @jax.jacrev
    def gradients(params):
        _, metrics = model.loss(params, batch, jax.random.key(0), 0)
        return {name: metrics[f"loss_{name}"] for name in ("m1", "m2", "classifier")}

    found = jax.tree.map(lambda gradient: (np.asarray(gradient) != 0).any(), gradients(params))
    assert all(jax.tree.leaves(found["m1"]["m1"]))
    assert not any(jax.tree.leaves(found["m1"]["m2"]))
    assert all(jax.tree.leaves(found["m2"]["m2"]))
    assert not any(jax.tree.leaves([found["m2"]["m1"], found["classifier"]["m1"]]))


def test_the_bound_is_below_the_estimate_and_a_function_of_the_example_alone(case):
    _, model, params, x = case
    bound, estimate = model.log_density(params, x), model.log_density_estimate(params, x)
    assert (np.asarray(bound) < np.asarray(estimate)).all()
    alone = model.log_density(params, x[2:3])
    np.testing.assert_allclose(alone[0], bound[2], rtol=1e-5)


def test_a_class_is_told_by_the_classifier_at_the_mean_of_the_features(case):
    (info, *_), model, params, x = case
    table = np.asarray(model.class_log_density(params, x))
    assert table.shape == (6, info.num_classes)
    np.testing.assert_allclose(table, log_softmax(table, axis=1), atol=1e-5)


def test_samples_are_examples_of_their_class_and_means_at_temperature_zero(case):
    (info, *_), model, params, _ = case
    labels = jnp.array([0, 1, 1])
    sampled, again, cold, other = (
        model.sample(params, jax.random.key(seed), labels, temperature)
        for seed, temperature in [(0, 1.0), (0, 1.0), (0, 0.0), (1, 0.0)]
    )
    assert sampled.shape == (3, *info.shape)
    np.testing.assert_array_equal(sampled, again)
    np.testing.assert_allclose(cold, other)
    np.testing.assert_allclose(cold[1], cold[2], rtol=1e-5)
    assert not np.allclose(cold[0], cold[1])
    if info.levels:
        assert sampled.min() >= 0 and sampled.max() <= info.levels


@pytest.mark.parametrize(
    ("data", "fields", "message"),
    [
        ("moons", {"net": "conv"}, r"config.m1m2.net is 'conv', expected 'mlp' for examples of"),
        ("digits", {"net": "conv", "hidden": (4,) * 4}, "m1m2.hidden is .* 4 times: expected"),
        ("digits", {"net": "conv", "hidden": ()}, r"m1m2.hidden is \(\)"),
        ("digits", {"net": "rnn"}, "m1m2.net is 'rnn', expected one of mlp, conv"),
    ],
)
def test_networks_that_the_examples_do_not_fit_are_refused(data, fields, message):
    config = make_config(model="m1m2", data={"name": data, "num_labels": 0}, m1m2=fields)
    with pytest.raises(fg.InputError, match=message):
        validate(config)


def test_a_flow_is_refused():
    flow = {"name": "vector_realnvp", "steps": 1}
    config = make_config(model="m1m2", data={"name": "moons"}, flow=flow)
    with pytest.raises(
        fg.InputError, match="flow.name is 'vector_realnvp', which the model 'm1m2'"
    ):
        validate(config)
