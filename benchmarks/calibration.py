"""Calibration before and after the temperature, over ten labelled sets of the digits.

    python benchmarks/calibration.py [CONFIG [FIELD=VALUE ...]]

The temperature is fitted on labels of 100 and of 1,000 training examples that training did not see:
does it help, and does it do harm where they are few? Trains in runs/calibration; runs that are
finished there are read. About 20 minutes on 2 cores.
"""

import statistics
import sys
from pathlib import Path

import jax
import numpy as np
from rich.console import Console
from rich.table import Table

from flowgmm_jax.compilation import keep_compiled_programs
from flowgmm_jax.config import load_config, run_name
from flowgmm_jax.evaluation import calibration
from flowgmm_jax.evaluation.statistics import make_statistics
from flowgmm_jax.trained import Trained, load_trained
from flowgmm_jax.training.trainer import train

SPLITS = 10
EXAMPLES = (100, 1000)
SCORES = ("nll", "ece", "brier")


def scores(trained: Trained) -> dict[int, dict[str, float]]:
    """Test scores as trained (0) and with the temperature of a number of examples."""
    measure = make_statistics(trained.model, trained.info.levels)
    test = np.asarray(measure(trained.params, trained.dataset.x_test).joint, np.float64)
    y_test, y = trained.dataset.y_test, trained.dataset.y_train
    index = np.random.default_rng(0).permutation(calibration.held_out(trained).index)
    joint = measure(trained.params, trained.dataset.x_train[index]).joint
    offset = calibration.offset_of(trained)
    found = {0: {"temperature": 1.0, **calibration.scores(test, y_test)}}
    for n in EXAMPLES:
        temperature = calibration.fit_temperature(joint[:n], offset, y[index[:n]])
        logits = calibration.tempered(test, offset, temperature)
        found[n] = {"temperature": temperature, **calibration.scores(logits, y_test)}
    return found


def main() -> None:
    name, *fields = sys.argv[1:] or ["digits"]
    overrides = dict(field.split("=", 1) for field in fields)
    found = []
    for split in range(SPLITS):
        workdir = Path("runs/calibration") / f"{run_name(name)}_{split}"
        train(load_config(name, **overrides, split_seed=split), workdir)
        found.append(scores(load_trained(workdir)))
        jax.clear_caches()

    def cell(values, form="{:+.4f}"):
        mean, deviation = statistics.mean(values), statistics.stdev(values)
        return f"{form.format(mean)} ± {deviation:.4f} ({form.format(max(values))})"

    table = Table(
        "mean ± deviation (largest)", "as trained", *[f"change, {n} examples" for n in EXAMPLES]
    )
    for score in SCORES:
        before = [each[0][score] for each in found]
        changes = [[each[n][score] - each[0][score] for each in found] for n in EXAMPLES]
        table.add_row(score, cell(before, "{:.4f}"), *map(cell, changes))
    temperatures = [[each[n]["temperature"] for each in found] for n in EXAMPLES]
    table.add_row("temperature", "1", *[cell(values, "{:.3f}") for values in temperatures])
    accuracy = statistics.mean(each[0]["accuracy"] for each in found)
    Console(width=130).print(table, f"accuracy {accuracy:.2f}% of {SPLITS} labelled sets")


if __name__ == "__main__":
    keep_compiled_programs()
    main()
