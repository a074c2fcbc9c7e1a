"""Layers on numbers at the ends of float32."""

from functools import partial

import jax
import numpy as np
import pytest
from helpers import compiled, initialised

from flowgmm_jax import flows

MLP = partial(flows.MLP, hidden=(8,))


@pytest.mark.parametrize("largest", [1e7, 1e20, 1e38, np.inf])
def test_a_conditioner_makes_no_nan_of_large_numbers(largest):
    coupling = flows.affine_coupling(MLP, flows.half, 0)
    ordinary = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    params = jax.tree.map(lambda leaf: 100 * leaf, initialised(coupling, ordinary))
    x = ordinary.copy()
    x[0, :3], x[1, :3], x[2, :3] = largest, -largest, [largest, -largest, 0]
    z, log_det = compiled(coupling.forward)(params, x)
    assert not np.isnan(z).any() and np.isfinite(log_det).all()
    _, log_det_back = compiled(coupling.inverse)(params, z)
    np.testing.assert_array_equal(log_det_back, -log_det)


def test_nan_is_not_hidden():
    coupling = flows.affine_coupling(MLP, flows.half, 0)
    x = np.ones((2, 4), np.float32)
    params = initialised(coupling, x)
    x[0, 0] = np.nan
    z, log_det = coupling.forward(params, x)
    assert np.isnan(z[0]).any() and np.isnan(log_det[0])
    assert np.isfinite(z[1]).all() and np.isfinite(log_det[1])


@pytest.mark.parametrize("magnitude", [0.0, 1e-45, 1e-20, 1e18, 1e20, 1e30])
def test_actnorm_starts_with_a_finite_scale(magnitude):
    actnorm = flows.actnorm()
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (8, 3))
    x = (magnitude * signs).astype(np.float32)
    params = actnorm.init(jax.random.key(0), x)
    z, log_det = actnorm.forward(params, x)
    for leaf in jax.tree.leaves((params, z, log_det)):
        assert np.isfinite(leaf).all()
    x_back, _ = actnorm.inverse(params, z)
    np.testing.assert_allclose(x_back, x, rtol=0, atol=max(1e-4 * magnitude, 1e-30))
