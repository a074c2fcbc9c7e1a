"""The examples run, on tiny models; those that need a library which is missing are skipped."""

import importlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import compiled, make_config, perturbed

import flowgmm_jax as fg

EXAMPLES = Path(__file__).parents[1] / "examples"
NEEDS = {
    "flow_in_numpyro": "numpyro",
    "numpyro_nuts": "numpyro",
    "blackjax_nuts": "blackjax",
    "flowjax_bijection": "flowjax",
}


@pytest.fixture
def example(request, monkeypatch):
    """The module of an example."""
    if library := NEEDS.get(request.param):
        pytest.importorskip(library)
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module(request.param)


def of(*names):
    return pytest.mark.parametrize("example", names, indirect=True)


@pytest.fixture(scope="module")
def tiny():
    """A model of points in the plane and its parameters."""
    flow = {"name": "vector_realnvp", "steps": 1, "hidden": (4,)}
    model = fg.build(make_config(flow=flow, prior={"means": "circle"}), fg.Info((2,), 2))
    x = np.random.default_rng(0).normal(size=(8, 2)).astype(np.float32)
    params = perturbed(compiled(model.init)(jax.random.key(0), x, np.arange(8) % 2))
    return model, jax.device_get(params)  # as fit returns them


@pytest.fixture
def fitted_at_once(monkeypatch, tiny):
    monkeypatch.setattr(fg, "fit", lambda *args, **kwargs: tiny, raising=False)


def test_every_example_is_short_and_says_what_it_is():
    for path in EXAMPLES.glob("*.py"):
        text = path.read_text()
        assert text.startswith('"""') and f"python examples/{path.name}" in text.replace(
            "cd examples && python ", "python examples/"
        )
        assert len(text.splitlines()) < 80


def test_every_example_is_in_the_documentation():
    page = (EXAMPLES.parent / "docs/building.md").read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if path.name not in page] == []


@of("flow_in_numpyro")
def test_a_distribution_of_numpyro(example, tiny, fitted_at_once):
    p_x = example.FlowDistribution(*tiny)
    for shape in [(), (3,), (2, 3)]:
        x = p_x.sample(jax.random.key(0), shape)
        assert (x.shape, p_x.log_prob(x).shape) == ((*shape, 2), shape)
    np.testing.assert_allclose(p_x.log_prob(x[0]), tiny[0].log_density(tiny[1], x[0]), rtol=1e-5)
    p_x = jax.tree.map(lambda leaf: leaf, p_x)  # a pytree, whose static part has an equality
    assert p_x.event_shape == (2,)
    example.main(draws=3)


@of("numpyro_nuts")
def test_samplers_of_numpyro(example, tiny, fitted_at_once):
    to_data, z = example.ToData(*tiny), jnp.array([0.3, -0.2])
    jacobian = jax.jacobian(to_data)(z)
    np.testing.assert_allclose(
        to_data.log_abs_det_jacobian(z, to_data(z)), jnp.linalg.slogdet(jacobian)[1], atol=1e-4
    )
    np.testing.assert_allclose(to_data.inv(to_data(z)), z, atol=1e-5)
    means = example.main(draws=4)
    assert np.isfinite(list(means.values())).all()


@of("blackjax_nuts")
def test_a_sampler_of_blackjax(example, fitted_at_once):
    assert np.isfinite(example.main(chains=3, draws=2)).all()


@of("flowjax_bijection")
def test_a_bijection_of_flowjax(example):
    before, after = example.main(epochs=2)
    assert after > before


@of("ensemble")
def test_an_ensemble(example):
    of_members, of_ensemble = example.main(members=2, steps=5)
    assert of_members.keys() == of_ensemble.keys() >= {"nll", "ece"}
    assert of_ensemble["nll"] <= of_members["nll"] + 1e-6  # the logarithm is concave


@of("conditional_flow")
def test_a_conditional_flow(example):
    assert np.isfinite(example.main(steps=3)).all()
    c = jnp.array([[0.6, 0.8]])
    model = example.conditional_model(
        example.flows.conditional(1, lambda pair: pair[0], example.couplings), 2
    )
    x = jax.random.normal(jax.random.key(0), (8, 2))
    params = model.init(jax.random.key(0), x, jnp.broadcast_to(c, (8, 2)))
    params = perturbed(params, scale=0.03)
    edges = jnp.linspace(-8, 8, 201)
    grid = jnp.stack(jnp.meshgrid(edges, edges), axis=-1).reshape(-1, 2)
    log_density = model.log_density(params, grid, jnp.broadcast_to(c, grid.shape))
    assert jnp.exp(log_density).sum() * 0.08**2 == pytest.approx(1.0, abs=0.02)


@of("own_layer")
def test_a_layer_of_ones_own(example):
    model, _ = example.main(steps=2)
    assert model.config.flow.name == "own_layer:leaky_flow"


@of("active_learning")
def test_active_learning(example):
    assert all(0 <= v <= 100 for v in example.main(rounds=1, steps=2, seeds=1).values())


@of("variational_inference")
def test_variational_inference(example):
    evidence, bounds = example.main(steps=3)
    assert all(bound < evidence for bound in bounds.values())
