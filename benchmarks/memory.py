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

DEPTHS = (8, 32, 128)
BATCH, WIDTH = 32, 64
KINDS = {"ordinary": False, "reversible": True}


def measure(depth: int, reversible: bool) -> tuple[float, float, float, float]:
    """Mebibytes of temporaries, seconds a gradient, mebibytes at the peak of this process, and the
    largest difference from the ordinary gradient over its largest entry."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(0, 256, (BATCH, 28, 28, 1)) + 0.5, jnp.float32)

    def compiled(reversible, params):
        flow = flows.glow(256, ((2, depth),), width=WIDTH, alpha=0.001, reversible=reversible)

        def loss(params, x):
            z, log_det = flow.forward(params, x)
            return jnp.mean(0.5 * jnp.sum(z**2, axis=(1, 2, 3)) - log_det)

        if params is None:
            noise = jax.random.normal
            params = jax.jit(flow.init)(jax.random.key(0), x)
            # At the start couplings are the identity.
            params = jax.tree.map(lambda p: p + 0.01 * noise(jax.random.key(1), p.shape), params)
        return jax.jit(jax.grad(loss)).lower(params, x).compile(), params

    gradient, params = compiled(reversible, None)
    times = []
    for _ in range(4):  # the first touches the memory
        start = time.perf_counter()
        result = jax.block_until_ready(gradient(params, x))
        times.append(time.perf_counter() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    error = 0.0
    if reversible:
        expected = compiled(False, params)[0](params, x)
        largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(expected))
        differences = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), expected, result)
        error = max(jax.tree.leaves(differences)) / largest
    return gradient.memory_analysis().temp_size_in_bytes / 2**20, min(times), peak, error


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1].isdigit():
        print(*measure(int(sys.argv[1]), KINDS[sys.argv[2]]))
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
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(4.5, 3.2), layout="constrained")
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
