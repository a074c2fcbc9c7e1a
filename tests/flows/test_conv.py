"""The convolution of the conditioners and its gradients against the stock one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from registry import normal

from flowgmm_jax.flows.conv import same_convolution

SHAPES = {
    "3x3": ((2, 5, 6, 3), (3, 3, 3, 4)),
    "1x1": ((2, 5, 6, 3), (1, 1, 3, 4)),
    "3x1": ((2, 5, 6, 3), (3, 1, 3, 4)),
    "5x3 on a smaller image": ((2, 2, 2, 3), (5, 3, 3, 2)),
    "3x3 on one pixel": ((3, 1, 1, 2), (3, 3, 2, 2)),
    "one example and channel": ((1, 4, 4, 1), (3, 3, 1, 1)),
}


def stock(x, kernel):
    return jax.lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def value_and_gradients(convolution, x, kernel):
    y, pull_back = jax.vjp(convolution, x, kernel)
    return y, *pull_back(jnp.cos(y))


@pytest.fixture(params=["cpu", "gpu"])
def backend(request, monkeypatch):
    """The code path of a backend; every path runs on every one."""
    monkeypatch.setattr(jax, "default_backend", lambda: request.param)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("x_shape", "kernel_shape"), SHAPES.values(), ids=SHAPES)
def test_value_and_gradients_are_those_of_the_stock_convolution(x_shape, kernel_shape):
    x, kernel = normal(*x_shape), normal(*kernel_shape)
    ours = value_and_gradients(same_convolution, x, kernel)
    theirs = value_and_gradients(stock, x, kernel)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize(("x_shape", "kernel_shape"), SHAPES.values(), ids=SHAPES)
def test_tangents_and_second_derivatives_are_those_of_the_stock_convolution(x_shape, kernel_shape):
    x, kernel = normal(*x_shape), normal(*kernel_shape)
    dx, dkernel = jnp.cos(x), jnp.sin(kernel)

    def derivatives(convolution):
        def gradients(x, kernel):
            return value_and_gradients(convolution, x, kernel)[1:]

        _, tangent = jax.jvp(convolution, (x, kernel), (dx, dkernel))
        _, second = jax.jvp(gradients, (x, kernel), (dx, dkernel))
        mapped = jax.vmap(lambda x: jax.jvp(convolution, (x, kernel), (x, dkernel))[1])(x[None])
        return tangent, *second, mapped

    ours, theirs = derivatives(same_convolution), derivatives(stock)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.usefixtures("backend")
def test_the_value_is_a_sum_over_a_window():
    x, kernel = normal(1, 3, 3, 2), normal(3, 3, 2, 1)
    y = same_convolution(x, kernel)
    np.testing.assert_allclose(y[0, 1, 1, 0], np.sum(x[0] * kernel[..., 0]), rtol=1e-5)
    corner = np.sum(x[0, :2, :2] * kernel[1:, 1:, :, 0])
    np.testing.assert_allclose(y[0, 0, 0, 0], corner, rtol=1e-5)


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("sides", [(2, 2), (2, 3), (3, 4)], ids=str)
def test_even_kernels_are_refused(sides):
    with pytest.raises(ValueError, match=f"odd sides, found {sides[0]}x{sides[1]}"):
        same_convolution(normal(1, 4, 4, 1), normal(*sides, 1, 1))


@pytest.mark.usefixtures("backend")
def test_bfloat16_stays_bfloat16():
    x, kernel = (a.astype(jnp.bfloat16) for a in (normal(2, 4, 4, 2), normal(3, 3, 2, 2)))
    results = jax.eval_shape(lambda *a: value_and_gradients(same_convolution, *a), x, kernel)
    assert {result.dtype for result in results} == {jnp.dtype(jnp.bfloat16)}
