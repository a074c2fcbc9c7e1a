"""What checkpoints cost: digits with a checkpoint every 100 steps against none.

    python benchmarks/checkpoints.py

One run, in which every second hundred of steps begins with a checkpoint and the others with none,
so that each hundred is compared with its neighbour, whatever else the machine does meanwhile.
Times are those of the rows of metrics.jsonl. About 5 minutes on 2 cores.
"""

import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flowgmm_jax import cli
from flowgmm_jax.training import trainer
from flowgmm_jax.training.checkpoint import Checkpoints

CONFIG = Path(__file__).parents[1] / "configs" / "digits.py"
EVERY = 100
PAIRS = 15


class EverySecond(Checkpoints):
    """Saves at step 100, 300, ... alone, and takes the time for which the caller waits."""

    waits: list[float] = []  # noqa: RUF012

    def save(self, state, sums):
        if int(state.step) // EVERY % 2:
            start = time.monotonic()
            super().save(state, sums)
            self.waits.append(time.monotonic() - start)


def main() -> None:
    config = cli.load_config(str(CONFIG))
    config.train.steps = EVERY * (2 * PAIRS + 1)
    config.train.log_every = config.train.checkpoint_every = EVERY
    config.train.eval_every = 0
    trainer.checkpoint.Checkpoints = EverySecond
    with tempfile.TemporaryDirectory() as folder:
        trainer.train_and_evaluate(config, folder)
        rows = [json.loads(line) for line in (Path(folder) / "metrics.jsonl").open()]
    times = [after["seconds"] - before["seconds"] for before, after in itertools.pairwise(rows)]
    pairs = list(zip(times[::2], times[1::2], strict=True))
    ratios = [with_save / without for with_save, without in pairs]

    table = Table("100 steps with a checkpoint (s)", "without (s)", "ratio")
    for (with_save, without), ratio in zip(pairs, ratios, strict=True):
        table.add_row(f"{with_save:.2f}", f"{without:.2f}", f"{ratio:.3f}")
    table.add_section()
    medians = (statistics.median(side) for side in zip(*pairs, strict=True))
    table.add_row(*(f"{median:.2f}" for median in medians), f"{statistics.median(ratios):.3f}")
    console = Console(width=100)
    console.print(table)
    console.print(f"the loop waits {1000 * statistics.median(EverySecond.waits):.0f} ms for a save")


if __name__ == "__main__":
    main()
