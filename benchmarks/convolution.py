"""Training a 3x3 convolution inside a scan: the stock gradient against flows/conv.py's.

    python benchmarks/convolution.py

Prints GFLOP/s of forward and backward together, the ratio, and the rate of a matrix product in the
same run, which is the most to hope for; 64 examples, 64 channels.
"""

import time

import jax
import jax.numpy as jnp
from jax import lax
from rich.console import Console
from rich.table import Table

from flowgmm_jax.flows.conv import DIMENSIONS, same_convolution

BATCH, CHANNELS, LAYERS = 64, 64, 2
SIDE = 1024  # of the square matrices of the product


def stock(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS)


def seconds(function, *arguments) -> float:
    """The shortest of three calls."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - start)
    return min(times)


def make_step(convolution):
    """A training step ``(kernels, x) -> gradients`` of a convolution."""

    def loss(kernels, x):
        return jnp.sum(lax.scan(lambda h, k: (jax.nn.relu(convolution(h, k)), None), x, kernels)[0])

    return jax.jit(jax.grad(loss, argnums=(0, 1)))


def main() -> None:
    table = Table(
        "image", "stock (GFLOP/s)", "flows/conv.py (GFLOP/s)", "ratio", "matrix product (GFLOP/s)"
    )
    a, product = jax.random.normal(jax.random.key(2), (SIDE, SIDE)), jax.jit(jnp.matmul)
    for side in (28, 14, 7):
        x = jax.random.normal(jax.random.key(0), (BATCH, side, side, CHANNELS))
        kernels = 0.04 * jax.random.normal(jax.random.key(1), (LAYERS, 3, 3, CHANNELS, CHANNELS))
        flop = 3 * 2 * BATCH * side * side * 9 * CHANNELS**2 * LAYERS
        slow, fast = (seconds(make_step(f), kernels, x) for f in (stock, same_convolution))
        table.add_row(
            f"{side}x{side}",
            f"{flop / slow / 1e9:.0f}",
            f"{flop / fast / 1e9:.0f}",
            f"{slow / fast:.0f}",
            f"{2 * SIDE**3 / seconds(product, a, a) / 1e9:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
