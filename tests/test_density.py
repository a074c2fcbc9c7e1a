"""Where flow and prior meet: a density that integrates to one, and latents as vectors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import initialised, perturbed

from flowgmm_jax import density, flows, gmm

TRIPLE = flows.stateless(
    lambda x: (3 * x, jnp.full(len(x), x[0].size * jnp.log(3.0))),
    lambda z: (z / 3, jnp.full(len(z), -z[0].size * jnp.log(3.0))),
)
FLOWS = {
    "vector_realnvp": flows.vector_realnvp(4, (16,)),
    "couplings of both parities": flows.chain(
        *[
            flows.affine_coupling(partial(flows.MLP, hidden=(8,)), flows.half, parity)
            for parity in (0, 1)
        ]
    ),
    "rotation and gaussianize": flows.chain(
        flows.gaussianize(0.05, 2, (1,)), TRIPLE, flows.invertible_1x1()
    ),
    "rotation and logit": flows.chain(flows.logit(0.05, 2), flows.invertible_1x1()),
}
MARGIN = 2 * 0.05 / 0.9  # by which the contracted logit reaches beyond [0, 2)
RANGES = {
    "rotation and logit": (-MARGIN, 2 + MARGIN),
    "rotation and gaussianize": (-MARGIN / 2, 2 + MARGIN / 2),
}


@pytest.mark.parametrize("name", FLOWS)
def test_a_density_in_the_plane_integrates_to_one(name):
    flow = FLOWS[name]
    low, high = RANGES.get(name, (-20, 20))
    example = np.random.default_rng(0).uniform(0.5, 1.5, size=(64, 2)).astype(np.float32)
    means = jnp.array([[1.0, 0.5], [-1.0, 0.0], [0.0, -1.5]])
    prior = perturbed(gmm.with_means(means), scale=0.3)
    params = {"flow": initialised(flow, example), "prior": prior}
    edges = np.linspace(low, high, 801)
    centres = (edges[1:] + edges[:-1]) / 2
    grid = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2).astype(np.float32)
    table = jax.jit(partial(density.class_log_density, flow))(params, grid)
    assert table.shape == (len(grid), 3)
    masses = np.exp(np.asarray(table, np.float64)).sum(axis=0) * (edges[1] - edges[0]) ** 2
    assert masses.sum() == pytest.approx(1.0, abs=0.01)
    np.testing.assert_allclose(masses, np.exp(gmm.log_class_weights(prior)), rtol=0.02)


def test_logits_and_the_joint_have_one_posterior():
    flow = flows.multiscale(flows.squeeze(), flows.actnorm())
    x = jax.random.normal(jax.random.key(0), (5, 4, 4, 1))
    means = jax.random.normal(jax.random.key(1), (3, 6))
    params = {"flow": initialised(flow, x), "prior": gmm.with_means(means)}
    logits, joint = density.tables(flow, params, x)
    assert logits.shape == joint.shape == (5, 3)
    np.testing.assert_allclose(gmm.posterior(logits), gmm.posterior(joint), atol=1e-5)
    np.testing.assert_allclose(joint, density.class_log_density(flow, params, x), rtol=1e-6)


def test_class_log_density_is_the_joint_plus_the_log_determinant():
    params = {"flow": (), "prior": gmm.with_means(jnp.array([[0.0, 0.0], [3.0, 0.0]]))}
    table = density.class_log_density(TRIPLE, params, jnp.array([[1.0, 0.0]]))
    constant = np.log(9) - np.log(2 * np.pi) - np.log(2)
    np.testing.assert_allclose(table, [[constant - 4.5, constant]], rtol=1e-6)


LATENTS = {
    "an array": np.arange(24.0).reshape(2, 3, 2, 2),
    "a vector": np.arange(6.0).reshape(2, 3),
    "nested pairs": (
        np.arange(12.0).reshape(2, 1, 3, 2),
        (np.arange(8.0).reshape(2, 2, 2, 1), np.arange(2.0).reshape(2, 1)),
    ),
}


@pytest.mark.parametrize("latents", LATENTS.values(), ids=LATENTS)
def test_flattened_latents_are_restored(latents):
    z = density.flatten(latents)
    assert z.shape == (2, sum(leaf[0].size for leaf in jax.tree.leaves(latents)))
    restored = density.unflatten(z, latents)
    assert jax.tree.structure(restored) == jax.tree.structure(latents)
    jax.tree.map(np.testing.assert_array_equal, restored, latents)


@pytest.mark.parametrize("latents", LATENTS.values(), ids=LATENTS)
def test_the_first_latents_are_the_first_columns(latents):
    z = density.flatten(latents)
    for dimensions in range(1, z.shape[1] + 1):
        first = density.flatten_first(latents, dimensions)
        np.testing.assert_array_equal(first, z[:, :dimensions])


def test_flattened_latents_are_restored_at_another_batch_size():
    like = jax.eval_shape(lambda: LATENTS["nested pairs"])
    z = jnp.arange(55.0).reshape(5, 11)
    np.testing.assert_array_equal(density.flatten(density.unflatten(z, like)), z)


def test_decode_undoes_encode_for_latents_of_two_scales():
    flow = flows.multiscale(flows.squeeze(), flows.actnorm())
    x = jax.random.normal(jax.random.key(0), (3, 4, 4, 1))
    params = {"flow": initialised(flow, x)}
    z, log_det = density.encode(flow, params, x)
    assert (z.shape, log_det.shape) == ((3, 16), (3,))
    np.testing.assert_allclose(density.decode(flow, params, z, (4, 4, 1)), x, atol=1e-5)


def test_bits_per_dim_of_a_uniform_grey_image_is_eight():
    # 12 dimensions, each uniform on [0, 256).
    log_density = jnp.array([-12 * np.log(256.0), 0.0])
    np.testing.assert_allclose(density.bits_per_dim(log_density, 12), [8.0, 0.0], rtol=1e-6)
