"""Calibration of the digits with 100 labels, before and after the temperature, over labelled sets.

    python benchmarks/calibration.py

The temperature is fitted on labels of training examples that training did not see. About 10 minutes
on 2 cores.
"""

import statistics
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flowgmm_jax.config import load_config
from flowgmm_jax.evaluation import calibration
from flowgmm_jax.evaluation.statistics import make_statistics
from flowgmm_jax.trained import load_trained
from flowgmm_jax.training.trainer import train

SPLITS = 5
SCORES = ("nll", "ece", "ece_adaptive", "brier", "accuracy")


def metrics(split: int, workdir: Path) -> dict:
    """The calibration metrics of a run with the labelled set ``split``."""
    train(load_config("digits", split_seed=split), workdir)
    trained = load_trained(workdir)
    measure = make_statistics(trained.model, trained.info.levels)
    test = measure(trained.params, trained.dataset.x_test)
    return calibration.evaluate(trained, test, measure).metrics


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = [metrics(split, Path(folder) / str(split)) for split in range(SPLITS)]
    table = Table("score", "as trained", "with temperature", "change")

    def cell(values):
        return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"

    for score in SCORES:
        after = [each["calibrated"][score] for each in found]
        before = [each.get(score, each["calibrated"]["accuracy"]) for each in found]
        change = [b - a for a, b in zip(before, after, strict=True)]
        table.add_row(score, cell(before), cell(after), cell(change))
    table.add_row("temperature", "1", cell([each["calibrated"]["temperature"] for each in found]))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
