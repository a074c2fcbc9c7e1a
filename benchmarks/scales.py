"""Accuracy on two columns in any units: the class in the first, noise in the second.

    python benchmarks/scales.py results/scales.md

The second column is multiplied by a factor, and an offset added to both, in float64. Every row is
trained end to end with five seeds of the data and the run, and should have the accuracy of the
first.
"""

import platform
import sys
import tempfile
from datetime import date
from pathlib import Path

import jax
import numpy as np

import flowgmm_jax as fg
from flowgmm_jax.compilation import keep_compiled_programs

SEEDS = range(5)
TRAINING, TEST = 600, 2000
FACTORS = (1.0, 1e-12, 1e-9, 1e-6, 1e-3, 1e3, 1e6, 1e9, 1e12)
OFFSETS = (1e3, 1e6, 1e7, 1e9, 1e12)
CASES = [
    *((factor, 0.0) for factor in FACTORS),
    *((1.0, offset) for offset in OFFSETS),
    (1e-12, 1e12),
    (1e12, 1e12),
]


def columns(seed: int, size: int, factor: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Examples float64 (size, 2) and labels; 98.75% are on their class's side of the middle."""
    rng = np.random.default_rng(seed)
    y = np.arange(size) % 2
    signal = 6 * (y - 0.5) + 1.34 * rng.normal(size=size)
    return np.stack([signal, factor * rng.normal(size=size)], 1) + offset, y


def accuracy(folder: Path, seed: int, factor: float, offset: float) -> float:
    """Test accuracy, in percent, of a run on such columns."""
    train = columns(seed, TRAINING, factor, offset)
    test = columns(seed + 1000, TEST, factor, offset)
    path = folder / f"{seed}_{factor:g}_{offset:g}"
    np.savez(
        f"{path}.npz", **dict(zip(("x", "y", "x_test", "y_test"), (*train, *test), strict=True))
    )
    config = fg.load_config(
        "vectors",
        seed=seed,
        data_dir=f"{path}.npz",
        steps=300,
        batch_unlabeled=64,
        means="latents",
        **{"flow.hidden": (32,), "flow.steps": 2, "optimizer.learning_rate": 3e-3},
    )
    return fg.train(config, path).accuracy


def main() -> None:
    keep_compiled_programs()
    rows = [
        "| factor of the noise | offset of both | accuracy (%) | worst seed |",
        "|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for factor, offset in CASES:
            found = [accuracy(Path(folder), seed, factor, offset) for seed in SEEDS]
            mean, deviation = np.mean(found), np.std(found, ddof=1)
            rows.append(
                f"| {factor:g} | {offset:g} | {mean:.2f} ± {deviation:.2f} | {min(found):.2f} |"
            )
            print(rows[-1], file=sys.stderr, flush=True)
    text = "# Columns in any units\n\n`python benchmarks/scales.py results/scales.md`: "
    text += "mean ± standard deviation of the test accuracy over five seeds.\n"
    text += f"CPU, Python {platform.python_version()}, jax {jax.__version__}, {date.today()}.\n\n"
    Path(sys.argv[1]).write_text(text + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()
