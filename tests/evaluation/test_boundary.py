"""Distances to the decision boundary and the density on it."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowgmm_jax import gmm
from flowgmm_jax.evaluation import boundary

RNG = np.random.default_rng(0)
distances = jax.jit(boundary.distances)


def prior(log_scale, log_weights=(0.0, 0.0, 0.0)):
    means = jnp.asarray(RNG.normal(size=(3, 4)), jnp.float32) * 2
    return gmm.GMM(means, jnp.asarray(log_scale, jnp.float32), jnp.asarray(log_weights))


def searched(prior, z, directions=20_000, farthest=20.0):
    """The distance to another class by bisection along many directions, an upper bound."""
    rng = np.random.default_rng(1)
    u = rng.normal(size=(directions, z.shape[-1]))
    # Among them those to and from the means, where the nearest point often is.
    u = np.concatenate([u, np.asarray(prior.means) - z, z - np.asarray(prior.means)])
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    of = jax.jit(lambda points: gmm.joint(prior, points).argmax(-1))
    a = int(of(jnp.asarray(z[None], jnp.float32))[0])

    def crossed(distance):
        return np.asarray(of(jnp.asarray(z + distance * u, jnp.float32))) != a

    # The first of coarse steps in which any ray crosses, then bisection of this step.
    steps = pairwise(np.linspace(0, farthest, 400))
    near, far = next(((near, far) for near, far in steps if crossed(far).any()), (np.inf, np.inf))
    low, high = np.full((len(u), 1), near), np.full((len(u), 1), far)
    for _ in range(20):
        middle = 0.5 * (low + high)
        beyond = crossed(middle)[:, None]
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    return high.min()


@pytest.mark.parametrize(
    "mixture",
    [
        prior((0.0, 0.0, 0.0)),
        prior((0.3, 0.3, 0.3), (0.0, 1.0, -1.0)),
        prior((0.0, 0.4, -0.3)),
        prior((0.5, -0.2, 0.1), (1.0, 0.0, -2.0)),
    ],
    ids=["equal", "equal scales", "unequal scales", "unequal scales and weights"],
)
def test_distances_are_those_that_a_search_finds(mixture):
    z = RNG.normal(size=(4, 4)).astype(np.float32) * 2
    distance, _ = distances(mixture, jnp.asarray(z))
    found = np.array([searched(mixture, each) for each in z])
    # The search cannot come below the exact distance, and comes near to it.
    assert np.all(found >= np.asarray(distance) * (1 - 1e-3))
    np.testing.assert_allclose(found, distance, rtol=0.05)


def test_with_equal_scales_a_mean_is_half_the_distance_of_the_means_away():
    means = jnp.array([[0.0, 0.0], [3.0, 4.0]])
    distance, relative = distances(gmm.with_means(means), means)
    np.testing.assert_allclose(distance, 2.5, rtol=1e-6)
    np.testing.assert_allclose(relative, 1.0, rtol=1e-6)


def test_on_the_boundary_the_distance_is_zero():
    mixture = gmm.with_means(jnp.array([[-1.0, 0.0], [1.0, 0.0]]))
    distance, _ = distances(mixture, jnp.array([[0.0, 5.0]]))
    assert distance[0] == 0


def test_a_class_that_never_wins_has_no_boundary():
    mixture = gmm.GMM(jnp.array([[0.0], [0.5]]), jnp.zeros(2), jnp.array([0.0, -50.0]))
    mixture = mixture._replace(log_scale=jnp.array([0.1, 0.0]))
    distance, _ = distances(mixture, jnp.array([[0.0]]))
    assert np.isinf(distance[0])


def test_the_density_ratio_is_that_of_the_cells_at_the_boundary():
    classes = np.array([[0, 0, 1, 1]] * 3)
    density = np.array([[4.0, 1.0, 3.0, 8.0]] * 3)
    assert boundary.density_ratio(density, classes, np.array([4.0, 6.0])) == pytest.approx(0.4)


def test_the_summary_counts_the_margin():
    found = boundary.Distances(np.array([0.1, 2.0, 3.0]), np.array([0.05, 1.0, 1.5]))
    assert boundary.summary(found) == {
        "median": 1.0,
        "median_latent": 2.0,
        "within_margin": pytest.approx(1 / 3),
    }
