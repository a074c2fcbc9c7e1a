"""Bits/dim of MNIST against minutes: a config beside a coupling flow in PyTorch (torch_flow.py).

    JAX_NUM_CPU_DEVICES=2 python benchmarks/density_race.py CONFIG DIR WORKDIR FIGURE.png

CONFIG is mnist_density or another config of MNIST, DIR the data directory. Trains the config in
WORKDIR, or reads its finished run, then the PyTorch flow for the same minutes on the same cores,
whose rows are kept in WORKDIR/torch.jsonl. Prints a table of both and when the config passed the
other's last figure, and draws them. Test images of both; nothing is chosen by them. Needs torch.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from flowgmm_jax.config import load_config
from flowgmm_jax.data import datasets
from flowgmm_jax.evaluation import figures
from flowgmm_jax.training.trainer import train

ROWS = 10  # of the PyTorch flow: each takes about 20 s of two cores, which do not count


def ours(name: str, data_dir: str, workdir: Path) -> list[tuple[float, float]]:
    """Minutes and bits/dim."""
    train(load_config(name, data_dir=data_dir), workdir)
    rows = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [
        (row["seconds"] / 60, row["test_bits_per_dim"])
        for row in rows
        if "test_bits_per_dim" in row
    ]


def theirs(name: str, data_dir: str, workdir: Path, minutes: float) -> list[tuple[float, float]]:
    kept = workdir / "torch.jsonl"
    if not kept.exists():
        dataset = datasets.load(load_config(name, data_dir=data_dir).data)
        with tempfile.TemporaryDirectory() as folder:
            images = Path(folder) / "images.npz"
            np.savez(images, x_train=dataset.x_train, x_test=dataset.x_test)
            script = Path(__file__).with_name("torch_flow.py")
            arguments = [str(images), str(minutes), str(60 * minutes / ROWS)]
            command = [sys.executable, str(script), *arguments]
            rows = []
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
                for row in process.stdout:
                    print(f"PyTorch, of {60 * minutes:.0f} s: {row.strip()}", file=sys.stderr)
                    rows.append(row)
            if process.returncode:
                raise SystemExit(f"{script} failed")
        kept.write_text("".join(rows))
    rows = map(json.loads, kept.read_text().splitlines())
    return [(row["seconds"] / 60, row["bits_per_dim"]) for row in rows]


def main() -> None:
    if len(sys.argv) != 5:
        raise SystemExit(__doc__)
    name, data_dir, workdir, figure_file = sys.argv[1:]
    first = ours(name, data_dir, Path(workdir))
    second = theirs(name, data_dir, Path(workdir), first[-1][0])
    figure, ((axes,),) = figures.panels(1, 1, 5)
    table = Table("minutes", "bits/dim", title=name)
    torch_table = Table("minutes", "bits/dim", title="coupling flow in PyTorch")
    for rows, shown, label in ((first, table, name), (second, torch_table, "PyTorch")):
        axes.plot(*zip(*rows, strict=True), marker=".", label=label)
        for minutes, bits in rows:
            shown.add_row(f"{minutes:.1f}", f"{bits:.3f}")
    axes.set(xlabel="minutes", ylabel="bits/dim", ylim=(0.9, 2.5))
    axes.legend(frameon=False)
    figure.savefig(figure_file, dpi=150)
    console = Console(width=100)
    console.print(table, torch_table)
    passed = [minutes for minutes, bits in first if bits <= second[-1][1]]
    when = f"after {passed[0]:.1f} minutes" if passed else "never"
    console.print(f"{name} passed the last figure of PyTorch {when} of {second[-1][0]:.1f}")


if __name__ == "__main__":
    main()
