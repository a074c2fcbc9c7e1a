"""What microbatches cost on one device: the steps of the digits and of two moons.

    python benchmarks/microbatches.py

For ``config.train.microbatches`` of 0 (the whole batch at once), 2, 4 and 8 the time of a step and
the memory of the program beside its arguments. The four are run in turn, several times, and every
time is divided by that of the whole batch in the same turn. About 5 minutes on 2 cores.
"""

import os
import time
from pathlib import Path

os.environ["JAX_NUM_CPU_DEVICES"] = "1"

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from flowgmm_jax import cli, devices
from flowgmm_jax.training.trainer import make_batches, map_steps, prepare

CONFIGS = Path(__file__).parents[1] / "configs"
MICROBATCHES = (0, 2, 4, 8)
STEPS = {"digits": 30, "moons": 300}  # of each in a turn
TURNS = 15


def start(name: str, microbatches: int):
    """Of a run with so many microbatches: a function that takes steps, and the program's bytes."""
    config = cli.load_config(str(CONFIGS / f"{name}.py"))
    config.train.microbatches = microbatches
    prepared = prepare(config)
    source = make_batches(prepared, 0)
    train_steps = map_steps(prepared, source)
    state = devices.replicate(prepared.make_state())
    arguments = source.next_data(STEPS[name]), config.seed, STEPS[name]
    program = train_steps.lower(state, *arguments).compile()

    def advance():
        nonlocal state
        state, metrics = train_steps(state, *arguments)
        jax.block_until_ready(metrics)

    advance()  # compiles
    return advance, program.memory_analysis().temp_size_in_bytes


def seconds(advance) -> float:
    begun = time.monotonic()
    advance()
    return time.monotonic() - begun


def compare(name: str) -> Table:
    runs = [start(name, microbatches) for microbatches in MICROBATCHES]
    times = np.array([[seconds(advance) for advance, _ in runs] for _ in range(TURNS)])
    ratios = times / times[:, :1]
    table = Table(
        f"microbatches, {name}", "step (ms)", "ratio to the whole batch", "quartiles", "memory"
    )
    for i, (microbatches, (_, size)) in enumerate(zip(MICROBATCHES, runs, strict=True)):
        low, middle, high = np.quantile(ratios[:, i], (0.25, 0.5, 0.75))
        table.add_row(
            str(microbatches),
            f"{1e3 * np.median(times[:, i]) / STEPS[name]:.2f}",
            f"{middle:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{size / 1e6:.1f} MB",
        )
    return table


def main() -> None:
    console = Console(width=100)
    for name in STEPS:
        console.print(compare(name))
    console.print(f"medians of {TURNS} turns on one {jax.devices()[0].device_kind}")


if __name__ == "__main__":
    main()
