"""Digits with 100 labels: five labelled sets, with and without the unlabelled images.

    python benchmarks/digits.py

The couplings of Glow, and the same trained on the labelled images alone. About 10 minutes on
2 cores.
"""

import statistics
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flowgmm_jax.config import load_config
from flowgmm_jax.training.trainer import train

SPLITS = 5


def accuracies(name: str, workdir: Path) -> tuple[list[float], float]:
    """Test accuracies over the splits, in percent, and the longest training in seconds."""
    results = []
    for split in range(SPLITS):
        results.append(train(load_config(name, split_seed=split), workdir / name / str(split)))
    return [result.accuracy for result in results], max(result.seconds for result in results)


def main() -> None:
    table = Table("config", "accuracy (%)", "mean ± sd", "longest run (s)")
    with tempfile.TemporaryDirectory() as workdir:
        for name in ("digits:glow", "digits:sup"):
            values, seconds = accuracies(name, Path(workdir))
            table.add_row(
                name,
                " ".join(f"{value:.2f}" for value in values),
                f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}",
                f"{seconds:.0f}",
            )
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
