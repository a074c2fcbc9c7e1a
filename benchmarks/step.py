"""The training step of the published small MNIST network: start-up, FLOPs, and the floor.

    python benchmarks/step.py

16 couplings, 5.1 M parameters, 32 labelled and 32 unlabelled images a step, two views. The images
are made up: time does not depend on them. Prints the seconds from process start to the end of the
first step, the step's time, the FLOPs of its convolutions, the machine's
matrix-product rate in the same run, and the step's time over the floor, FLOPs / rate.
"""

import time

START = time.monotonic()

from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from flowgmm_jax import cli  # noqa: E402
from flowgmm_jax.data.augment import random_crop, view  # noqa: E402
from flowgmm_jax.data.sampling import Pool, draw_batch  # noqa: E402
from flowgmm_jax.models.build import build  # noqa: E402
from flowgmm_jax.training import devices  # noqa: E402
from flowgmm_jax.training.optimizer import make_optimizer  # noqa: E402
from flowgmm_jax.training.step import init_state, make_train_steps  # noqa: E402

CONFIG = Path(__file__).parents[1] / "configs" / "mnist_1k_cons.py"
EXAMPLES = 2000
STEPS = 3
SIDE = 2048  # of the square matrices whose product gives the machine's rate


def shortest(function, times: int = 5) -> float:
    """Seconds of the shortest of several calls."""
    seconds = []
    for _ in range(times):
        start = time.monotonic()
        jax.block_until_ready(function())
        seconds.append(time.monotonic() - start)
    return min(seconds)


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


def main() -> None:
    config = cli.load_config(f"{CONFIG}:published_small")
    config.data.shape, config.data.num_classes, config.data.levels = (28, 28, 1), 10, 256
    model, tx = build(config), make_optimizer(config)
    rng = np.random.default_rng(0)
    pool = Pool(
        jnp.asarray(rng.integers(0, 256, (EXAMPLES, 28, 28, 1)), jnp.uint8),
        jnp.asarray(rng.integers(0, 10, EXAMPLES), jnp.int32),
        jnp.arange(1000),
        jnp.arange(1000, EXAMPLES),
    )
    both = view([partial(random_crop, pad=config.augment.crop)], 256)
    draw = partial(
        draw_batch,
        num_shards=jax.device_count(),
        batch_labeled=config.train.batch_labeled,
        batch_unlabeled=config.train.batch_unlabeled,
        student=both,
        teacher=both,
    )
    state = jax.jit(partial(init_state, model, tx))(
        jax.random.key(0), pool.x[:64].astype(jnp.float32), pool.y[:64]
    )
    train_steps = devices.map_train_steps(
        make_train_steps(model, tx, draw, config.optimizer.ema_decay, config.train.max_skipped)
    )
    state, pool = devices.replicate(state), devices.replicate(pool)
    state, metrics = train_steps(state, pool, 0, 1)
    jax.block_until_ready(metrics)
    first = time.monotonic() - START

    start = time.monotonic()
    state, metrics = train_steps(state, pool, 0, STEPS)
    jax.block_until_ready(metrics)
    step = (time.monotonic() - start) / STEPS

    a = jax.random.normal(jax.random.key(0), (SIDE, SIDE))
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(a))
    rate = 2 * SIDE**3 / shortest(lambda: product(a))
    flops = flops_of_step(config)

    table = Table("process start to the end of the first step", f"{first:.1f} s")
    table.add_row("one step", f"{step:.2f} s")
    table.add_row("FLOPs of its convolutions", f"{flops / 1e9:.0f} GFLOP")
    table.add_row("matrix products here", f"{rate / 1e9:.0f} GFLOP/s")
    table.add_row("floor", f"{flops / rate:.2f} s")
    table.add_row("step / floor", f"{step * rate / flops:.2f}")
    table.add_row("device", f"{jax.device_count()} x {jax.devices()[0].device_kind}")
    Console().print(table)


if __name__ == "__main__":
    main()
