"""What checkpoints cost: digits with a checkpoint every 100 steps against none.

    python benchmarks/checkpoints.py

One run, in which every second hundred of steps begins with a checkpoint and the others with none,
so that each hundred is compared with its neighbour, whatever else the machine does meanwhile. Shows
the time that passes and, since that means little on a busy machine, the processor time of all
threads, in which the work behind the training's back is included. About 5 minutes on 2 busy cores.
"""

import itertools
import statistics
import tempfile
import time

from rich.console import Console
from rich.table import Table

from flowgmm_jax.config import load_config
from flowgmm_jax.runs.checkpoint import Checkpoints
from flowgmm_jax.training import trainer

EVERY = 100
PAIRS = 10


class EverySecond(Checkpoints):
    """Saves at step 100, 300, ... alone, and looks at the clocks at every call."""

    clocks: list[tuple[float, float]] = []  # noqa: RUF012
    waits: list[float] = []  # noqa: RUF012

    def save(self, step, state, sums):
        start = time.monotonic()
        self.clocks.append((start, time.process_time()))
        if step // EVERY % 2:
            super().save(step, state, sums)
            self.waits.append(time.monotonic() - start)


def main() -> None:
    config = load_config("digits")
    config.train.steps = EVERY * (2 * PAIRS + 1)
    config.train.log_every = config.train.checkpoint_every = EVERY
    config.train.eval_every = 0
    trainer.checkpoint.Checkpoints = EverySecond
    with tempfile.TemporaryDirectory() as folder:
        trainer.train(config, folder)

    table = Table(title=f"{EVERY} steps with a checkpoint against {EVERY} without")
    for header in ("with (s)", "without (s)", "ratio"):
        table.add_column(header, justify="right")
    for header in ("CPU with (s)", "CPU without (s)", "ratio"):
        table.add_column(header, justify="right")
    hundreds = [
        tuple(end - begin for begin, end in zip(before, after, strict=True))
        for before, after in itertools.pairwise(EverySecond.clocks)
    ]
    rows = []
    for with_save, without in zip(hundreds[::2], hundreds[1::2], strict=True):
        sides = zip(with_save, without, strict=True)
        rows.append([value for a, b in sides for value in (a, b, a / b)])
    for row in rows:
        table.add_row(*(f"{value:.3f}" for value in row))
    table.add_section()
    medians = (statistics.median(column) for column in zip(*rows, strict=True))
    table.add_row(*(f"{median:.3f}" for median in medians))
    console = Console(width=100)
    console.print(table)
    console.print("last row: medians")
    console.print(f"the loop waits {1000 * statistics.median(EverySecond.waits):.0f} ms for a save")


if __name__ == "__main__":
    main()
