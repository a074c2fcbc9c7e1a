"""The coarse image and its details: Haar's transform, and maps that the coarse image chooses."""

import jax
import numpy as np
import pytest
from helpers import compiled, initialised

from flowgmm_jax import flows


def test_haar_keeps_lengths_and_puts_means_first():
    x = np.random.default_rng(0).normal(size=(2, 4, 6, 3)).astype(np.float32)
    z, log_det = flows.haar().forward((), x)
    np.testing.assert_allclose(np.square(z).sum(), np.square(x).sum(), rtol=1e-5)
    np.testing.assert_array_equal(log_det, 0)
    means = x.reshape(2, 2, 2, 3, 2, 3).mean((2, 4))
    np.testing.assert_allclose(z[..., :3], 2 * means, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "details"),
    [([[1, 0], [1, 0]], [1, 0, 0]), ([[1, 1], [0, 0]], [0, 1, 0]), ([[1, 0], [0, 1]], [0, 0, 1])],
    ids=["horizontal", "vertical", "diagonal"],
)
def test_haar_names_its_details(image, details):
    z, _ = flows.haar().forward((), np.array(image, np.float32).reshape(1, 2, 2, 1))
    np.testing.assert_allclose(np.ravel(z), [1, *details], atol=1e-6)


@pytest.fixture(scope="module")
def wavelet():
    flow = flows.wavelet_glow(16, 2, 2, width=4)
    x = np.random.default_rng(0).uniform(0, 16, (4, 8, 8, 1)).astype(np.float32)
    return flow, initialised(flow, x), x


def test_latents_of_the_coarse_image_do_not_depend_on_details(wavelet):
    flow, params, x = wavelet

    def coarse_latents(x):
        return flow.forward(params, x)[0][0]

    first = flow.parts(params)[:2]
    for bijector, params_i in first:
        x, _ = bijector.forward(params_i, x)
    other = x.at[..., 1:].set(0.0)
    for bijector, params_i in reversed(first):
        x, _ = bijector.inverse(params_i, x)
        other, _ = bijector.inverse(params_i, other)
    np.testing.assert_allclose(coarse_latents(x), coarse_latents(other), atol=1e-2)


def test_details_are_mapped_as_their_coarse_image_says(wavelet):
    flow, params, x = wavelet
    (z_coarse, z_details), _ = flow.forward(params, x)
    swapped = (z_coarse[::-1], z_details)
    details = [
        flows.haar().forward((), flow.parts(params)[0][0].forward(params[0], image)[0])[0][..., 1:]
        for image in (x, flow.inverse(params, swapped)[0])
    ]
    assert np.abs(details[0] - details[1]).max() > 0.1


def test_what_the_coarse_latents_alone_need_leaves_the_details_out(wavelet):
    flow, params, x = wavelet

    def flops(function):
        return jax.jit(jax.grad(function)).lower(params, x).compile().cost_analysis()["flops"]

    def of_coarse(params, x):
        return flow.forward(params, x)[0][0].sum()

    def of_both(params, x):
        return sum(z.sum() for z in flow.forward(params, x)[0])

    assert flops(of_coarse) < 0.6 * flops(of_both)
    coarse, details = compiled(jax.grad(of_coarse))(params, x)[2]
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(coarse))
    assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves(details))


def test_channels_that_do_not_divide_are_refused():
    condition = flows.condition(4, flows.actnorm(), lambda c: flows.actnorm())
    with pytest.raises(ValueError, match="condition divides channels by 4, found 6"):
        condition.init(jax.random.key(0), np.zeros((2, 4, 4, 6), np.float32))
