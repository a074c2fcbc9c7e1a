"""A convolution whose weight gradient is fast inside a scan on the CPU.

Inside a loop body XLA:CPU runs the stock weight gradient of a convolution through a generic path,
15 to 100 times slower than outside (``benchmarks/convolution.py`` prints the ratio). Written as an
ordinary NHWC/HWIO convolution, over the batch instead of the channels, it takes the fast path.
"""

from functools import partial

import jax
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def _convolve(x: jax.Array, kernel: jax.Array, padding) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=DIMENSIONS)


def _gradient_of_x(g: jax.Array, x: jax.Array, kernel: jax.Array) -> jax.Array:
    del x
    return _convolve(g, kernel[::-1, ::-1].swapaxes(2, 3), "SAME")


def _gradient_of_kernel(g: jax.Array, x: jax.Array, kernel: jax.Array) -> jax.Array:
    """dL/dK[i, j, c, d] = sum_{b, h, w} x[b, h+i, w+j, c] g[b, h, w, d]: a convolution of x with g
    in which the channels c are the batch and the batch b is summed over like channels."""
    height, width = kernel.aval.shape[:2]
    padding = [(height // 2, height // 2), (width // 2, width // 2)]
    gradient = _convolve(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3), padding)
    return gradient.transpose(1, 2, 0, 3)


# What is linear in a tangent, with the transposes above: a custom_vjp would have no tangents.
_tangent_p = Primitive("same_convolution_tangent")
_tangent_p.def_impl(partial(_convolve, padding="SAME"))
_tangent_p.def_abstract_eval(lambda x, kernel: x.update(shape=(*x.shape[:-1], kernel.shape[-1])))
ad.defbilinear(_tangent_p, _gradient_of_x, _gradient_of_kernel)
mlir.register_lowering(
    _tangent_p, mlir.lower_fun(partial(_convolve, padding="SAME"), multiple_results=False)
)
batching.primitive_batchers[_tangent_p] = lambda arguments, axes: (
    jax.vmap(partial(_convolve, padding="SAME"), axes)(*arguments),
    0,
)


@jax.custom_jvp
def _same_convolution(x, kernel):
    return _convolve(x, kernel, "SAME")


@_same_convolution.defjvp
def _same_convolution_jvp(primals, tangents):
    (x, kernel), (dx, dkernel) = primals, tangents
    tangent = _tangent_p.bind(dx, kernel) + _tangent_p.bind(x, dkernel)
    return _convolve(x, kernel, "SAME"), tangent


def same_convolution(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Convolution with stride 1 and padding SAME.

    Args:
      x: (B, H, W, C).
      kernel: (k, k, C, D) with k odd.

    Returns:
      (B, H, W, D).

    Raises:
      ValueError: when a side of the kernel is even (its gradient would be misaligned).
    """
    if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise ValueError(f"the kernel needs odd sides, found {kernel.shape[0]}x{kernel.shape[1]}")
    if jax.default_backend() == "cpu":
        return _same_convolution(x, kernel)
    return _convolve(x, kernel, "SAME")
