"""Pairs, paths and falls of interpolations."""

import jax.numpy as jnp
import numpy as np
import pytest

from flowgmm_jax import gmm
from flowgmm_jax.evaluation import interpolation
from flowgmm_jax.models.base import Model


@pytest.fixture
def y():
    return np.repeat(np.arange(4), [5, 1, 3, 6])


def test_pairs_of_the_same_class_are_two_examples_of_it(y):
    pairs = interpolation.choose_pairs(y, same_class=True, count=12)
    assert pairs.shape == (12, 2)
    assert np.all(pairs[:, 0] != pairs[:, 1])
    assert np.array_equal(y[pairs[:, 0]], y[pairs[:, 1]])
    assert set(y[pairs[:, 0]]) == {0, 2, 3}  # class 1 has one example


def test_pairs_of_different_classes_differ(y):
    pairs = interpolation.choose_pairs(y, same_class=False, count=12)
    assert np.all(y[pairs[:, 0]] != y[pairs[:, 1]])
    assert set(y[pairs[:, 0]]) == {0, 1, 2, 3}


def test_an_arc_keeps_the_length_and_meets_its_ends():
    a, b = jnp.array([2.0, 0.0, 0.0]), jnp.array([0.0, 0.0, 2.0])
    path = interpolation.slerp(a, b, jnp.linspace(0, 1, 5))
    np.testing.assert_allclose(np.linalg.norm(path, axis=-1), 2.0, rtol=1e-6)
    np.testing.assert_allclose(path[0], a, atol=1e-6)
    np.testing.assert_allclose(path[-1], b, atol=1e-6)


def test_an_arc_between_parallel_vectors_is_a_line():
    a = jnp.array([1.0, 0.0])
    np.testing.assert_allclose(interpolation.slerp(a, 3 * a, jnp.array([0.5]))[0], 2 * a, rtol=1e-6)


def test_the_fall_is_measured_from_the_line_between_the_ends():
    log_density = np.array([[0.0, -1.0, -2.0], [0.0, -5.0, -2.0], [1.0, 9.0, 1.0]])
    np.testing.assert_allclose(interpolation.drop(log_density[..., None]), [0.0, 4.0, 0.0])


def test_positions_without_a_density_are_left_out_of_the_fall():
    log_density = np.array([[0.0, np.nan, -3.0, 0.0]])
    np.testing.assert_allclose(interpolation.drop(log_density[..., None]), [3.0])


def test_paths_begin_and_end_at_the_examples():
    prior = gmm.with_means(jnp.array([[-2.0, 0.0, 0.0], [2.0, 0.0, 0.0]]))
    model = Model(
        init=None,
        loss=None,
        class_log_density=lambda params, x: gmm.joint(params["prior"], x),
        encode=lambda params, x: x,
        decode=lambda params, z: z,
        prior=lambda params: params["prior"],
    )
    ends = np.float32([[[-2, 1, 0], [2, 0, 1]], [[-3, 0, 0], [-2, 1, 0]]])
    paths = interpolation.interpolate(model, {"prior": prior}, ends)
    np.testing.assert_allclose(paths.x[:, [0, -1]], ends, atol=1e-6)
    assert paths.straight.shape == paths.typical.shape == (2, interpolation.STEPS, 2)
    for joint in (paths.straight, paths.typical):
        np.testing.assert_allclose(joint[:, 0], gmm.joint(prior, ends[:, 0]), rtol=1e-5)
        np.testing.assert_allclose(joint[:, -1], gmm.joint(prior, ends[:, 1]), rtol=1e-5)
    # The arc keeps the length 1 of the deviation; the line between the classes shortens it.
    middle = interpolation.STEPS // 2
    assert paths.typical[0, middle].max() < paths.straight[0, middle].max()
