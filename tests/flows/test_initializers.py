"""Random initial parameters: their distribution, and that they differ."""

import jax
import numpy as np
import pytest

from flowgmm_jax.flows.initializers import BLOCK, of_fan_in, truncated_normal


@pytest.mark.parametrize("shape", [(3,), (2 * BLOCK,), (3, 3, 16, 31)])
def test_numbers_have_the_standard_deviation_and_differ(shape):
    x = truncated_normal(0.5)(jax.random.key(0), shape)
    assert x.shape == shape and len(np.unique(x)) > 0.99 * x.size
    assert np.abs(x).max() < 0.5 * 2.3
    if x.size > BLOCK:
        np.testing.assert_allclose([x.mean(), x.std()], [0, 0.5], atol=0.02)


def test_the_variance_is_shared_by_the_inputs():
    x = of_fan_in(2.0)(jax.random.key(0), (3, 3, 16, 64))
    np.testing.assert_allclose(x.var(), 2 / (3 * 3 * 16), rtol=0.05)
    assert not np.array_equal(x, of_fan_in(2.0)(jax.random.key(1), x.shape))
