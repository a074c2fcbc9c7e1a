"""Training a 3x3 convolution inside a scan: the stock gradient against flows/conv.py's.

    python benchmarks/convolution.py

Prints GFLOP/s of forward and backward together, and the ratio; 64 examples, 64 channels.
"""

import time

import jax
import jax.numpy as jnp
from jax import lax
from rich.console import Console
from rich.table import Table

from flowgmm_jax.flows.conv import DIMENSIONS, same_convolution

BATCH, CHANNELS, LAYERS = 64, 64, 2


def stock(x, kernel):
    return lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=DIMENSIONS)


def seconds(convolution, x, kernels) -> float:
    """The shortest of three steps."""

    def loss(kernels, x):
        return jnp.sum(lax.scan(lambda h, k: (jax.nn.relu(convolution(h, k)), None), x, kernels)[0])

    step = jax.jit(jax.grad(loss, argnums=(0, 1)))
    jax.block_until_ready(step(kernels, x))
    times = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(step(kernels, x))
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    table = Table("image", "stock (GFLOP/s)", "flows/conv.py (GFLOP/s)", "ratio")
    for side in (28, 14, 7):
        x = jax.random.normal(jax.random.key(0), (BATCH, side, side, CHANNELS))
        kernels = 0.04 * jax.random.normal(jax.random.key(1), (LAYERS, 3, 3, CHANNELS, CHANNELS))
        flop = 3 * 2 * BATCH * side * side * 9 * CHANNELS**2 * LAYERS
        slow, fast = (seconds(f, x, kernels) for f in (stock, same_convolution))
        table.add_row(
            f"{side}x{side}",
            f"{flop / slow / 1e9:.0f}",
            f"{flop / fast / 1e9:.0f}",
            f"{slow / fast:.0f}",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
