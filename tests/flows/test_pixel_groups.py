"""What only a flow with exact masses of grey levels can pass."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import compiled, initialised

from flowgmm_jax import density, flows, gmm
from flowgmm_jax.flows import grey_levels
from flowgmm_jax.flows.pixel_groups import GROUPS


def small(levels, **kwargs):
    fields = dict(num_classes=3, radius=3.0, squeezes=1, width=4, context_blocks=1)
    return flows.pixel_groups(levels, **(fields | dict(causal_blocks=1, components=2) | kwargs))


@pytest.mark.parametrize(("height", "width", "levels"), [(2, 2, 4), (2, 4, 2)])
def test_the_masses_of_all_images_sum_to_one(height, width, levels):
    images = np.array(list(product(range(levels), repeat=height * width)), np.float32)
    images = images.reshape(-1, height, width, 1) + 0.5
    flow = small(levels)
    params = {"flow": initialised(flow, images[:2]), "prior": gmm.with_means(jnp.zeros((1, 1)))}
    log_mass = compiled(lambda params, x: density.class_log_density(flow, params, x))(
        params, images
    )
    assert len(images) == 256
    np.testing.assert_allclose(np.exp(np.float64(log_mass)).sum(), 1, atol=2e-5)


def test_the_density_is_the_same_within_a_grey_level():
    flow = small(4)
    x = np.random.default_rng(0).integers(0, 4, (1, 4, 4, 1)).astype(np.float32) + 0.5
    noise = np.random.default_rng(1).uniform(-0.49, 0.49, (8, 4, 4, 1)).astype(np.float32)
    params = {"flow": initialised(flow, x), "prior": gmm.with_means(jnp.zeros((1, 1)))}
    log_density = compiled(lambda params, x: density.class_log_density(flow, params, x))(
        params, x + noise
    )
    np.testing.assert_allclose(log_density, log_density[:1].repeat(8, 0), rtol=1e-4)


def test_the_class_is_in_the_first_latents():
    flow, x = small(16, class_code=True), np.random.default_rng(0).uniform(0, 16, (2, 4, 4, 1))
    x = x.astype(np.float32)
    params = {"flow": initialised(flow, x), "prior": gmm.with_means(3 * jnp.eye(3))}
    tables = compiled(lambda params, x: density.tables(flow, params, x))(params, x)
    np.testing.assert_allclose(
        gmm.posterior(tables.logits), gmm.posterior(tables.joint), rtol=1e-3, atol=1e-6
    )


def test_a_group_refines_the_grid_of_those_before_it():
    squeeze = flows.squeeze()
    image = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    cell, _ = squeeze.forward((), squeeze.forward((), image)[0])
    groups, _ = flows.split_groups(GROUPS[2]).forward((), cell)
    pixels = [sorted(np.ravel(group).astype(int).tolist()) for group in groups]
    assert pixels == [[1], [5], [15], [7, 13], [0, 2, 8, 10], [3, 4, 6, 9, 11, 12, 14]]


@pytest.mark.parametrize("levels", [2, 3, 16, 256])
def test_masses_of_all_levels_sum_to_one(levels):
    parameters = 3 * jax.random.normal(jax.random.key(0), (50, 1, grey_levels.num_parameters(4)))
    masses = grey_levels.mixture(parameters, jnp.arange(levels)[None], levels)
    np.testing.assert_allclose(masses.mass.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(masses.below + masses.mass + masses.above, 1, rtol=1e-5)
    np.testing.assert_allclose(masses.below, jnp.cumsum(masses.mass, -1) - masses.mass, atol=1e-5)
    assert masses.mass.min() > 0


def test_latents_beyond_all_data_are_the_ends_of_the_range():
    parameters = jax.random.normal(jax.random.key(0), (3, grey_levels.num_parameters(2)))
    for z, level in [(-40.0, 0), (40.0, 255)]:
        x, log_slope = grey_levels.from_normal(parameters, jnp.full(3, z), 1e-6, 256)
        np.testing.assert_array_equal(jnp.floor(x), level)
        assert np.isfinite(log_slope).all()


@pytest.mark.parametrize(
    ("field", "value"),
    [("squeezes", 3), ("num_classes", 0), ("width", 0), ("components", 0), ("class_width", 1)],
)
def test_arguments_out_of_range_are_named(field, value):
    with pytest.raises(ValueError, match=f"^{field} is {value}, expected"):
        small(16, **{field: value})


def test_more_classes_than_the_last_group_has_pixels_are_named():
    flow = small(16, num_classes=5, class_code=True)
    with pytest.raises(ValueError, match="num_classes is 5, expected at most 4"):
        jax.eval_shape(flow.init, jax.random.key(0), np.ones((2, 4, 4, 1), np.float32))
