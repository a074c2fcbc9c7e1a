"""Memory and time of a gradient against depth, with ordinary and with reversible backpropagation.

    python benchmarks/memory.py [FIGURE.png]

The gradient of log p(x) of 32 MNIST-sized images through Glow steps at 7x7x16 with 64 channels.
Memory is what XLA sets aside for the gradient's temporaries; parameters and their gradients, which
grow with depth in both, are not in it. The peak is that of a fresh process that does nothing else.
"""

import resource
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from flowgmm_jax import flows
from flowgmm_jax.evaluation import figures

DEPTHS = (8, 32, 128)
BATCH, WIDTH = 32, 64
KINDS = {"ordinary": False, "reversible": True}


def compiled_gradient(depth: int, reversible: bool, params, x):
    """Of the mean of log p(x) under a standard normal prior."""
    flow = make_flow(depth, reversible)

    def loss(params, x):
        z, log_det = flow.forward(params, x)
        return jnp.mean(0.5 * jnp.sum(z**2, axis=(1, 2, 3)) - log_det)

    return jax.jit(jax.grad(loss)).lower(params, x).compile()


def make_flow(depth: int, reversible: bool) -> flows.Bijector:
    return flows.glow(256, ((2, depth),), width=WIDTH, alpha=0.001, reversible=reversible)


def measure(depth: int, kind: str) -> tuple[float, float, float, float]:
    """Mebibytes of temporaries, seconds a gradient, mebibytes at the peak of this process, and the
    largest difference from the ordinary gradient over its largest entry."""
    images = np.random.default_rng(0).integers(0, 256, (BATCH, 28, 28, 1))
    x = jnp.asarray(images + 0.5, jnp.float32)
    params = jax.jit(make_flow(depth, False).init)(jax.random.key(0), x)
    # At the start couplings are the identity.
    params = jax.tree.map(
        lambda leaf: leaf + 0.01 * jax.random.normal(jax.random.key(1), leaf.shape), params
    )
    gradient = compiled_gradient(depth, KINDS[kind], params, x)
    times = []
    for _ in range(4):  # the first touches the memory
        start = time.perf_counter()
        found = jax.block_until_ready(gradient(params, x))
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    temporaries = gradient.memory_analysis().temp_size_in_bytes / 2**20
    if kind == "ordinary":
        return temporaries, min(times), peak, 0.0
    expected = compiled_gradient(depth, False, params, x)(params, x)
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
    differences = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), expected, found)
    return temporaries, min(times), peak, max(jax.tree.leaves(differences)) / largest


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1].isdigit():
        print(*measure(int(sys.argv[1]), sys.argv[2]))
        return
    table = Table(
        "couplings", "backpropagation", "temporaries (MiB)", "peak (MiB)", "time", "error"
    )
    temporaries = {kind: [] for kind in KINDS}
    for depth in DEPTHS:
        for kind in KINDS:
            command = [sys.executable, __file__, str(depth), kind]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            memory, seconds, peak, error = map(float, output.split())
            if kind == "ordinary":
                reference = seconds
            temporaries[kind].append(memory)
            table.add_row(
                str(depth),
                kind,
                f"{memory:.1f}",
                f"{peak:.0f}",
                f"{seconds / reference:.2f}",
                f"{error:.1e}" if kind == "reversible" else "",
            )
    Console().print(table)
    if len(sys.argv) == 2:
        plot(temporaries, sys.argv[1])


def plot(temporaries: dict[str, list[float]], path: str) -> None:
    figure, ((axes,),) = figures.panels(1, 1, width=4.5)
    for kind, marker in zip(KINDS, "os", strict=True):
        axes.plot(DEPTHS, temporaries[kind], marker=marker, label=kind)
    axes.set(xscale="log", yscale="log", xlabel="couplings", ylabel="temporaries (MiB)")
    axes.set_xticks(DEPTHS, map(str, DEPTHS))
    axes.minorticks_off()
    axes.legend(title="backpropagation", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
