"""DIGLM of an affine flow, whose objective and gradient can be written down."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import make_config
from scipy import stats

import flowgmm_jax as fg
from flowgmm_jax.data.batches import Batch
from flowgmm_jax.flows import Bijector
from flowgmm_jax.models.diglm import diglm
from flowgmm_jax.validation import validate

D, K, WEIGHT = 3, 4, 5.0
RNG = np.random.default_rng(0)
X_LABELED, X_UNLABELED = RNG.normal(size=(6, D)), RNG.normal(size=(10, D))
X = np.concatenate([X_LABELED, X_UNLABELED])
Y = RNG.integers(0, K, 6)


def scale():
    """z = x exp(s)."""
    return Bijector(
        lambda key, x: jnp.zeros(x.shape[-1]),
        lambda s, x: (x * jnp.exp(s), jnp.full(len(x), s.sum())),
        lambda s, z: (z * jnp.exp(-s), jnp.full(len(z), -s.sum())),
        "scale",
    )


@pytest.fixture
def case():
    """The model with parameters."""
    with jax.enable_x64(True):
        model = diglm(scale(), (D,), K, WEIGHT)
        kernel, bias, s = RNG.normal(size=(D, K)), RNG.normal(size=K), RNG.normal(size=D)
        yield model, {"flow": s, "classifier": {"params": {"kernel": kernel, "bias": bias}}}


def written_down(params):
    """p(y | x), log p(x) and the latents of all examples."""
    z = X * np.exp(params["flow"])
    classifier = params["classifier"]["params"]
    odds = np.exp(z @ classifier["kernel"] + classifier["bias"])
    posterior = odds / odds.sum(1, keepdims=True)
    return posterior, stats.norm.logpdf(z).sum(1) + params["flow"].sum(), z


def test_the_joint_density_is_the_product_of_its_factors(case):
    model, params = case
    posterior, log_density, _ = written_down(params)
    joint = model.class_log_density(params, jnp.asarray(X))
    np.testing.assert_allclose(joint, np.log(posterior) + log_density[:, None])
    np.testing.assert_allclose(model.log_density(params, jnp.asarray(X)), log_density)


def test_the_objective_and_its_gradient(case):
    model, params = case
    batch = Batch(*map(jnp.asarray, (X_LABELED, Y, X_UNLABELED, X_UNLABELED)))
    (loss, metrics), gradient = jax.value_and_grad(model.loss, has_aux=True)(
        params, batch, jax.random.key(0), 0
    )
    posterior, log_density, z = written_down(params)
    posterior = posterior[: len(Y)]
    nll = -np.log(posterior[np.arange(len(Y)), Y]).mean()
    assert metrics["loss_labeled"] == pytest.approx(nll)
    assert metrics["loss_marginal"] == pytest.approx(-WEIGHT / D * log_density.mean())
    assert loss == pytest.approx(nll - WEIGHT / D * log_density.mean())
    assert metrics["bits_per_dim"] == pytest.approx(-log_density.mean() / (D * np.log(2)))

    error = (posterior - np.eye(K)[Y]) / len(Y)  # d nll / d logits
    kernel = params["classifier"]["params"]["kernel"]
    of_classes = (z[: len(Y)] * (error @ kernel.T)).sum(0)
    of_density = WEIGHT / D * (np.square(z) - 1).mean(0)
    np.testing.assert_allclose(gradient["flow"], of_classes + of_density)
    found = gradient["classifier"]["params"]
    np.testing.assert_allclose(found["kernel"], z[: len(Y)].T @ error)
    np.testing.assert_allclose(found["bias"], error.sum(0), atol=1e-12)


def test_without_unlabelled_examples_only_the_labelled_have_a_density(case):
    model, params = case
    none = jnp.zeros((0, D))
    batch = Batch(jnp.asarray(X_LABELED), jnp.asarray(Y), none, none)
    _, metrics = model.loss(params, batch, jax.random.key(0), 0)
    _, log_density, _ = written_down(params)
    expected = -WEIGHT / D * log_density[: len(Y)].mean()
    assert metrics["loss_marginal"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"loss": {"consistency_weight": 1.0}},
            "consistency_weight is 1.0, which the model 'diglm'",
        ),
        (
            {"prior": {"radius": 2.0}},
            "config.prior.radius is 2.0, which the model 'diglm' does not",
        ),
        ({"train": {"batch_density": 8}}, "batch_density is 8, expected 0 for the model 'diglm'"),
        ({"diglm": {"density_weight": -1.0}}, "diglm.density_weight is -1.0, expected a number"),
    ],
)
def test_fields_that_it_does_not_look_at_are_refused(fields, message):
    flow = {"name": "vector_realnvp", "steps": 1}
    config = make_config(model="diglm", data={"name": "moons"}, flow=flow, **fields)
    with pytest.raises(fg.InputError, match=message):
        validate(config)
