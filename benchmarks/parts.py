"""What it costs one device to take its batch in parts: the step of the digits.

    python benchmarks/parts.py

For ``config.train.parts`` of 0 (the whole batch at once), 2, 4 and 8 the time of a step and the
memory of the program beside its arguments. The four are run in turn, several times, and every time
is divided by that of the whole batch in the same turn. About 3 minutes on 2 cores.
"""

import os
import time
from pathlib import Path

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=1"

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from flowgmm_jax import cli
from flowgmm_jax.training import devices, inputs
from flowgmm_jax.training.step import make_train_steps
from flowgmm_jax.training.trainer import prepare

PARTS = (0, 2, 4, 8)
STEPS = 30  # of each in a turn
TURNS = 7


def start(parts: int):
    """Of a run of so many parts: a function that takes STEPS steps, and the program's bytes."""
    config = cli.load_config(str(Path(__file__).parents[1] / "configs" / "digits.py"))
    config.train.parts = parts
    prepared = prepare(config)
    config = prepared.config
    source = inputs.source(prepared.dataset, prepared.split, config, 0, *prepared.views)
    train_steps = devices.map_train_steps(
        make_train_steps(
            prepared.model,
            prepared.tx,
            source.draw,
            config.optimizer.ema_decay,
            config.train.max_skipped,
            parts,
        )
    )
    state = devices.replicate(prepared.make_state())
    arguments = source.next_data(STEPS), config.seed, STEPS
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
    return (time.monotonic() - begun) / STEPS


def main() -> None:
    runs = [start(parts) for parts in PARTS]
    times = np.array([[seconds(advance) for advance, _ in runs] for _ in range(TURNS)])
    ratios = times / times[:, :1]
    table = Table("parts", "step (ms)", "ratio to the whole batch", "from", "to", "memory (MB)")
    for i, (parts, (_, size)) in enumerate(zip(PARTS, runs, strict=True)):
        table.add_row(
            str(parts),
            f"{1e3 * np.median(times[:, i]):.1f}",
            *(f"{f(ratios[:, i]):.2f}" for f in (np.median, np.min, np.max)),
            f"{size / 1e6:.1f}",
        )
    console = Console(width=100)
    console.print(table)
    console.print(f"medians of {TURNS} turns on one {jax.devices()[0].device_kind}")


if __name__ == "__main__":
    main()
