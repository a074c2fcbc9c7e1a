"""Every term of the objective against the poster's equation in plain numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowgmm_jax import losses

RNG = np.random.default_rng(0)
B, K = 6, 4
JOINT = RNG.normal(size=(B, K)) * 3 - 20
Y = RNG.integers(0, K, size=B)
WEIGHTS = RNG.dirichlet(np.ones(K))

DENSITY = np.exp(JOINT)  # p(x, y = k)
MARGINAL = DENSITY.sum(axis=1)
POSTERIOR = DENSITY / MARGINAL[:, None]
ROWS = np.arange(B)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            losses.class_conditional_nll(jnp.asarray(JOINT), jnp.asarray(Y), np.log(WEIGHTS)),
            -np.log(DENSITY[ROWS, Y] / WEIGHTS[Y]),
        ),
        (losses.marginal_nll(jnp.asarray(JOINT)), -np.log(MARGINAL)),
        (losses.cross_entropy(jnp.asarray(JOINT), jnp.asarray(Y)), -np.log(POSTERIOR[ROWS, Y])),
        (losses.pseudo_labels(jnp.asarray(JOINT))[0], POSTERIOR.argmax(axis=1)),
        (losses.pseudo_labels(jnp.asarray(JOINT))[1], POSTERIOR.max(axis=1)),
    ],
    ids=["class_conditional_nll", "marginal_nll", "cross_entropy", "pseudo_label", "confidence"],
)
def test_a_term_is_the_equation_of_the_poster(values, expected):
    assert values.shape == (B,)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_the_marginal_and_the_cross_entropy_add_up_to_the_joint():
    joint, y = jnp.asarray(JOINT), jnp.asarray(Y)
    total = losses.marginal_nll(joint) + losses.cross_entropy(joint, y)
    np.testing.assert_allclose(total, -JOINT[ROWS, Y], rtol=1e-5)


def test_tables_far_below_the_range_of_exp_stay_finite():
    joint = jnp.asarray(JOINT - 5000)
    np.testing.assert_allclose(losses.marginal_nll(joint), 5000 - np.log(MARGINAL), rtol=1e-5)
    np.testing.assert_allclose(
        losses.cross_entropy(joint, jnp.asarray(Y)), -np.log(POSTERIOR[ROWS, Y]), atol=2e-3
    )


def test_pseudo_labels_carry_no_gradient():
    gradient = jax.grad(lambda joint: losses.pseudo_labels(joint)[1].sum())(jnp.asarray(JOINT))
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize(
    ("step", "length", "expected"),
    [(0, 10, 0.0), (3, 10, 0.3), (10, 10, 1.0), (25, 10, 1.0), (0, 0, 1.0), (7, 0, 1.0)],
)
def test_the_ramp_is_linear_up_to_one(step, length, expected):
    assert float(losses.linear_ramp(jnp.int32(step), length)) == pytest.approx(expected)
