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

from flowgmm_jax import cli
from flowgmm_jax.evaluation import calibration
from flowgmm_jax.evaluation.statistics import make_statistics
from flowgmm_jax.training import restore
from flowgmm_jax.training.trainer import train_and_evaluate

CONFIG = Path(__file__).parents[1] / "configs" / "digits.py"
SPLITS = 5
SCORES = ("nll", "ece", "ece_adaptive", "brier", "accuracy")


def metrics(split: int, workdir: Path) -> dict:
    """The calibration metrics of a run with the labelled set ``split``."""
    config = cli.load_config(str(CONFIG))
    config.data.split_seed = split
    train_and_evaluate(config, workdir)
    subject, _ = restore.load_subject(workdir)
    measure = make_statistics(subject.model, subject.config.data.levels)
    test = measure(subject.params, subject.dataset.x_test)
    return calibration.evaluate(subject, test, measure).metrics


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
