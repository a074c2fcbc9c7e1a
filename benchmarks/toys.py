"""The four two-dimensional sets, five seeds each: accuracy, integral of the density, seconds.

    python benchmarks/toys.py

A seed draws the points, the labelled ones among them, the parameters and the batches. The accuracy
is over all 1,000 points of the set, and over 1,000 fresh ones; the integral is over a grid that
holds the data with a wide margin. About 6 minutes on 2 cores.
"""

import statistics
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.table import Table

import flowgmm_jax as fg
from flowgmm_jax.data import datasets

SETS = ("moons", "circles", "eight_gaussians", "pinwheel")
SEEDS = 5
CELLS = 1000  # a side of the grid


def integral(model: fg.Model, params, x: np.ndarray) -> float:
    """Of the density, over a square three times as wide as the data."""
    centre, half = (x.max(0) + x.min(0)) / 2, 1.5 * np.ptp(x, axis=0).max()
    line = (np.arange(CELLS) + 0.5) / CELLS * 2 * half - half
    cell = (2 * half / CELLS) ** 2

    @jax.jit
    def row(first):
        points = jnp.stack([jnp.full(CELLS, first), line], axis=-1) + centre
        return jnp.exp(model.log_density(params, points)).sum() * cell

    return float(jax.lax.map(row, jnp.asarray(line)).sum())


def measure(name: str, seed: int, workdir: Path) -> tuple[float, float, float, float]:
    """(accuracy on all points, and on fresh ones, in percent; integral; seconds of training)."""
    config = fg.load_config(name, seed=seed, split_seed=seed)
    result = fg.train(config, workdir)
    model, params = fg.load(workdir)
    data = datasets.load(config.data)
    predicted = jax.jit(model.classify)(params, data.x_train)
    accuracy = 100 * float(np.mean(predicted == data.y_train))
    return accuracy, result.accuracy, integral(model, params, data.x_train), result.seconds


def main() -> None:
    table = Table(
        "set", "accuracy (%), each seed", "mean ± sd", "fresh points", "integral", "longest run (s)"
    )
    with tempfile.TemporaryDirectory() as workdir:
        for name in SETS:
            runs = [measure(name, seed, Path(workdir) / name / str(seed)) for seed in range(SEEDS)]
            values, fresh, integrals, seconds = zip(*runs, strict=True)
            table.add_row(
                name,
                " ".join(f"{value:.2f}" for value in values),
                f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}",
                f"{statistics.mean(fresh):.2f} ± {statistics.stdev(fresh):.2f}",
                f"{min(integrals):.4f} to {max(integrals):.4f}",
                f"{max(seconds):.0f}",
            )
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
