"""The training step of the published small MNIST network: its time, FLOPs, and the floor.

    JAX_NUM_CPU_DEVICES=2 python benchmarks/step.py

A device for each core is faster than one for all. 16 couplings, 5.1 M parameters, 32
labelled and 32 unlabelled images a step, two views. The images are made up: time does not depend on
them. Prints the step's time, the FLOPs of its convolutions, the machine's matrix-product rate in
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
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

from flowgmm_jax import devices
from flowgmm_jax.config import load_config
from flowgmm_jax.data.augment import Views, random_crop, view
from flowgmm_jax.data.base import Info
from flowgmm_jax.data.batches import draw_batch
from flowgmm_jax.data.sampling import BatchSizes
from flowgmm_jax.data.splits import Pool
from flowgmm_jax.models.build import build
from flowgmm_jax.training.optimizer import make_optimizer
from flowgmm_jax.training.step import init_state, make_train_steps

EXAMPLES = 2000
STEPS = 4
STEPS_PER_CALL = 2
SIDE = 2048  # of the square matrices whose product gives the machine's rate


def seconds(function: Callable) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def flops_of_step(config) -> float:
    """Products of the step counted by hand: XLA's cost analysis counts the body of a loop once.

    A coupling's ResNet at H x W and width w costs 2 H W (18 w^2 + w^2) a block, and its
    backward pass twice its forward. The student views go forward and backward, the teacher's
    forward only.
    """
    widths, blocks = config.flow.widths, config.flow.blocks
    side, forward = 28, 0.0

    def couplings(n, side, width):
        return n * 2 * side**2 * blocks * (2 * 9 * width**2 + width**2)

    for i, width in enumerate(widths):
        last = i == len(widths) - 1
        forward += couplings(4 if last else 3, side, width)
        if not last:
            side //= 2
            forward += couplings(3, side, widths[i + 1])
    students = config.train.batch_labeled + config.train.batch_unlabeled
    return forward * (3 * students + config.train.batch_unlabeled)


def make_steps(config) -> Callable[[], None]:
    """``steps()``, which takes STEPS_PER_CALL; the first call compiles."""
    model, tx = build(config, Info((28, 28, 1), 10, 256)), make_optimizer(config)
    rng = np.random.default_rng(0)
    pool = Pool(
        jnp.asarray(rng.integers(0, 256, (EXAMPLES, 28, 28, 1)), jnp.uint8),
        jnp.asarray(rng.integers(0, 10, EXAMPLES), jnp.int32),
        jnp.arange(1000),
        jnp.arange(1000, EXAMPLES),
    )
    # On a CPU the activations of smaller microbatches stay in its caches better.
    microbatches = jax.device_count() * (2 if jax.default_backend() == "cpu" else 1)
    both = view([partial(random_crop, pad=config.augment.crop)], 256)
    draw = partial(
        draw_batch,
        sizes=BatchSizes(
            config.train.batch_labeled, config.train.batch_unlabeled, num_microbatches=microbatches
        ),
        views=Views(both, both),
    )
    state = jax.jit(partial(init_state, model, tx))(
        jax.random.key(0), pool.x[:64].astype(jnp.float32), pool.y[:64]
    )
    train_steps = devices.map_train_steps(
        make_train_steps(
            model,
            tx,
            draw,
            config.optimizer.ema_decay,
            config.train.max_nonfinite_steps,
            microbatches,
        )
    )
    state, pool = devices.replicate(state), devices.replicate(pool)

    def steps():
        nonlocal state
        state, metrics = train_steps(state, pool, 0, STEPS_PER_CALL)
        jax.block_until_ready(metrics)

    return steps


def main() -> None:
    config = load_config("mnist_1k:published_small")
    a = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    product = jax.jit(lambda a: a @ a)
    functions = {"steps": make_steps(config), "product": lambda: jax.block_until_ready(product(a))}
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

    rate, flops = 2 * SIDE**3 / median["product"], flops_of_step(config)
    step = median["steps"] / STEPS_PER_CALL
    table = Table("one step", f"{step:.2f} s")
    table.add_row("FLOPs of its convolutions", f"{flops / 1e9:.0f} GFLOP")
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
