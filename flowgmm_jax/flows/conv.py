"""A convolution whose weight gradient is fast inside a scan on the CPU.

Inside a loop body XLA:CPU runs the stock weight gradient of a convolution through a generic path,
15 to 100 times slower than outside (``benchmarks/convolution.py`` prints the ratio). Written as an
ordinary NHWC/HWIO convolution, over the batch instead of the channels, it takes the fast path.
"""

import jax
from jax import lax

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def _convolve(x: jax.Array, kernel: jax.Array, padding) -> jax.Array:
    return lax.conv_general_dilated(x, kernel, (1, 1), padding, dimension_numbers=DIMENSIONS)


@jax.custom_vjp
def _same_convolution(x, kernel):
    return _convolve(x, kernel, "SAME")


def _same_forward(x, kernel):
    return _convolve(x, kernel, "SAME"), (x, kernel)


def _same_backward(residuals, g):
    x, kernel = residuals
    height, width = kernel.shape[:2]
    x_gradient = _convolve(g, kernel[::-1, ::-1].swapaxes(2, 3), "SAME")
    # dL/dK[i, j, c, d] = sum_{b, h, w} x[b, h+i, w+j, c] g[b, h, w, d]: a convolution of x with g
    # in which the channels c are the batch and the batch b is summed over like channels.
    padding = [(height // 2, height // 2), (width // 2, width // 2)]
    kernel_gradient = _convolve(x.transpose(3, 1, 2, 0), g.transpose(1, 2, 0, 3), padding)
    return x_gradient, kernel_gradient.transpose(1, 2, 0, 3)


_same_convolution.defvjp(_same_forward, _same_backward)


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
