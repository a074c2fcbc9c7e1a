"""The training step of the published small MNIST network: its time, FLOPs, and the floor.

    JAX_NUM_CPU_DEVICES=2 python benchmarks/step.py

A device for each core is faster than one for all. 16 couplings, 5.1 M parameters, 32
labelled and 32 unlabelled images a step, two views. The images are made up: time does not depend on
them. Prints the step's time, the FLOPs of its products, the machine's matrix-product rate in
the same run, and the step's time over the floor, FLOPs / rate; and, where torch is installed, the
time of the same step in PyTorch (torch_step.py), in a process of its own between two rounds of
ours, since its threads go on spinning after a step. Times are medians; of ours, over calls of two
steps, as training calls several, in two microbatches (``train.microbatches``) a CPU device.
"""

import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import made_up
from flops import cost
from rich.console import Console
from rich.table import Table

from flowgmm_jax.config import load_config

STEPS = 4
STEPS_PER_CALL = 2
SIDE = 2048  # of the square matrices whose product gives the machine's rate


def seconds(function: Callable) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def make_steps() -> tuple[Callable[[], None], float]:
    """``steps()``, which takes STEPS_PER_CALL, the first call compiles; and the FLOPs of a step on
    all devices."""
    # On a CPU the activations of smaller microbatches stay in its caches better.
    microbatches = jax.device_count() * (2 if jax.default_backend() == "cpu" else 1)
    config = load_config("mnist_1k:published_small", microbatches=microbatches)
    train_steps, first_state, data = made_up.training(config)
    state = made_up.on_devices(first_state)
    flops = jax.device_count() * cost(train_steps, state, data, 0, STEPS_PER_CALL).flops

    def steps():
        nonlocal state
        state, metrics = train_steps(state, data, 0, STEPS_PER_CALL)
        jax.block_until_ready(metrics)

    return steps, flops


def main() -> None:
    steps, flops = make_steps()
    a = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    product = jax.jit(lambda a: a @ a)
    functions = {"steps": steps, "product": lambda: jax.block_until_ready(product(a))}
    for function in functions.values():
        function()
    times = {name: [] for name in functions}

    def measure():
        for _ in range(STEPS):
            for name, function in functions.items():
                times[name].append(seconds(function))

    measure()
    if importlib.util.find_spec("torch"):
        command = [sys.executable, str(Path(__file__).with_name("torch_step.py")), str(STEPS)]
        times["torch"] = [float(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)]
        measure()
    median = {name: statistics.median(values) for name, values in times.items()}

    rate = 2 * SIDE**3 / median["product"]
    step = median["steps"] / STEPS_PER_CALL
    table = Table("one step", f"{step:.2f} s")
    table.add_row("FLOPs of its products", f"{flops / 1e9:.0f} GFLOP")
    table.add_row("matrix products here", f"{rate / 1e9:.0f} GFLOP/s")
    table.add_row("floor", f"{flops / rate:.2f} s")
    table.add_row("step / floor", f"{step * rate / flops:.2f}")
    if "torch" in median:
        table.add_row("the step in PyTorch", f"{median['torch']:.2f} s")
        table.add_row("PyTorch / ours", f"{median['torch'] / step:.2f}")
    table.add_row("device", f"{jax.device_count()} x {jax.devices()[0].device_kind}")
    Console().print(table)


if __name__ == "__main__":
    main()
