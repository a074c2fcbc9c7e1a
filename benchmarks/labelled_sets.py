"""A config on several labelled sets: accuracy and bits/dim against minutes.

    python benchmarks/labelled_sets.py mnist_1k_fast DIR FIGURE.png SPLIT.npz ...

DIR is the data directory, a SPLIT the file of a labelled set.
With JAX_NUM_CPU_DEVICES=2 two CPU cores are used best. Trains in runs/NAME_SPLIT; runs that are
finished there are read, those that were disturbed go on. Prints a table of every evaluation on the
test set, by which nothing is chosen, and draws it.
"""

import json
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from flowgmm_jax.config import load_config, run_name
from flowgmm_jax.evaluation import figures, poster
from flowgmm_jax.training.trainer import train


def course(name: str, data_dir: str, split: Path) -> list[dict]:
    """The rows with an evaluation on the test set, of a finished run."""
    workdir = Path("runs") / f"{run_name(name)}_{split.stem}"
    train(load_config(name, data_dir=data_dir, split_file=str(split)), workdir)
    rows = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [row for row in rows if "test_accuracy" in row]


def spread(values: list[float], digits: int) -> str:
    text = " ".join(f"{value:.{digits}f}" for value in values)
    if len(values) == 1:
        return text
    mean, deviation = statistics.mean(values), statistics.stdev(values)
    return f"{mean:.{digits}f} ± {deviation:.{digits}f} ({text})"


def draw(courses: dict[str, list[dict]], published: poster.Accuracy | None, path: str) -> None:
    figure, (panels,) = figures.panels(1, 2, width=4.5)
    for split, rows in courses.items():
        minutes = [row["seconds"] / 60 for row in rows]
        for axes, key in zip(panels, ("test_accuracy", "test_bits_per_dim"), strict=True):
            axes.plot(minutes, [row[key] for row in rows], marker=".", label=split)
    if published:
        panels[0].axhline(
            published.accuracy, color="0.6", linestyle="--", linewidth=1, label="poster"
        )
    panels[0].set(ylabel="test accuracy (%)")
    panels[1].set(ylabel="bits/dim", ylim=(0, None))
    for axes in panels:
        axes.set_xlabel("minutes")
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    if len(sys.argv) < 5:
        sys.exit(__doc__.split("\n\n")[1])
    name, data_dir, path, *splits = sys.argv[1:]
    courses = {Path(split).stem: course(name, data_dir, Path(split)) for split in splits}
    table = Table("step", "minutes", "accuracy (%)", "bits/dim")
    for rows in zip(*courses.values(), strict=True):
        table.add_row(
            str(rows[0]["step"]),
            spread([row["seconds"] / 60 for row in rows], 1),
            spread([row["test_accuracy"] for row in rows], 2),
            spread([row["test_bits_per_dim"] for row in rows], 2),
        )
    Console(width=140).print(table)
    draw(courses, poster.table_1(load_config(name)), path)


if __name__ == "__main__":
    main()
