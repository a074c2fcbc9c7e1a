"""Training from the host's memory against training from the device's, in one run.

    python benchmarks/streaming.py

The default config, the 8x8 digits, trained by turns for a few calls with its examples on the device
and streamed from the host. The smaller the step, the more streaming shows; that of the digits is
tiny. Prints steps a second of both and the ratio of each round.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
from rich.console import Console
from rich.table import Table

from flowgmm_jax import cli
from flowgmm_jax.data import datasets
from flowgmm_jax.data.splits import make_split
from flowgmm_jax.models.build import build
from flowgmm_jax.training import devices, inputs
from flowgmm_jax.training.optimizer import make_optimizer
from flowgmm_jax.training.step import init_state, make_train_steps
from flowgmm_jax.training.trainer import resolve

CONFIG = Path(__file__).parents[1] / "configs" / "digits.py"
ROUNDS, CALLS = 7, 5


def make_run(config, device_bytes: int) -> Callable[[], float]:
    """A function that goes on with a training of its own, and returns steps a second."""
    config.data.device_bytes = device_bytes
    dataset = datasets.load(config.data)
    split = make_split(dataset, config.data)
    model, tx = build(config), make_optimizer(config)
    x, y = inputs.initial_examples(dataset, split, config)
    state = jax.jit(partial(init_state, model, tx))(jax.random.key(config.seed), x, y)
    state = devices.replicate(state)
    views = inputs.views(config, dataset.info)
    source = inputs.source(dataset, split, config, 0, *views)
    decay, most, parts = config.optimizer.ema_decay, config.train.max_skipped, config.train.parts
    train_steps = devices.map_train_steps(
        make_train_steps(model, tx, source.draw, decay, most, parts)
    )
    count = config.train.steps_per_call

    def run():
        nonlocal state
        start = time.monotonic()
        for _ in range(CALLS):
            state, metrics = train_steps(state, source.next_data(count), config.seed, count)
            jax.device_get(devices.unreplicate(metrics))
        return CALLS * count / (time.monotonic() - start)

    run()  # compiles
    return run


def main() -> None:
    config = resolve(cli.load_config(str(CONFIG)))
    on_device = make_run(config.copy_and_resolve_references(), 2**40)
    on_host = make_run(config.copy_and_resolve_references(), 0)
    rounds = [(on_device(), on_host()) for _ in range(ROUNDS)]
    table = Table("steps/s", "on the device", "from the host", "ratio")
    for i, (device, host) in enumerate(rounds):
        table.add_row(f"round {i}", f"{device:.1f}", f"{host:.1f}", f"{host / device:.3f}")
    device, host = (statistics.median(rates) for rates in zip(*rounds, strict=True))
    ratio = statistics.median(host / device for device, host in rounds)
    table.add_row("median", f"{device:.1f}", f"{host:.1f}", f"{ratio:.3f}")
    Console().print(table)
    print(f"{jax.device_count()} x {jax.devices()[0].device_kind}")


if __name__ == "__main__":
    main()
