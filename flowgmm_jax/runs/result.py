"""The table at the end of a run."""

from pathlib import Path

from ml_collections import ConfigDict
from rich.console import Console
from rich.table import Table

from flowgmm_jax.training.trainer import Result


def print_result(name: str, workdir: Path, config: ConfigDict, result: Result) -> None:
    """Prints the result of a run, beside the poster's figure where there is one."""
    table = Table(title=f"{name}: {result.step} steps in {result.seconds:.0f} s")
    table.add_column("test set")
    table.add_column("measured", justify="right")
    poster = config.poster
    if poster.accuracy:
        table.add_column(f"poster, {poster.row}", justify="right")

    def row(label, value, published=""):
        table.add_row(label, value, *([published] if poster.accuracy else []))

    row("accuracy (%)", f"{result.accuracy:.2f}", f"{poster.accuracy:.2f}")
    if result.bits_per_dim is not None:
        row("bits/dim", f"{result.bits_per_dim:.3f}")
    console = Console()
    console.print(table)
    console.print(f"written to {workdir}", highlight=False)
