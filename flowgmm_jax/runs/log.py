"""What a run reports: metrics.jsonl and TensorBoard in its directory; the terminal."""

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar
from tqdm import tqdm

from flowgmm_jax.files import named_errors, write_text


def _rows(path: Path) -> list[dict]:
    """The complete rows of a file: a kill may have cut one short."""
    rows = []
    for line in path.read_bytes().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.keys() >= {"step", "seconds"}:
            rows.append(row)
    return rows


class MetricsWriter:
    """Appends rows to ``metrics.jsonl`` and to TensorBoard's files.

    Rows after ``step``, that of the checkpoint that the run continues from, are dropped first;
    without a checkpoint, ``step`` 0, all move to ``metrics.jsonl.old``. ``started`` is when this
    start of the run began, by ``time.monotonic()``.

    Raises:
      OSError: if a file cannot be written, in one line that names it.
    """

    def __init__(self, workdir: Path, step: int, started: float):
        self._path = workdir / "metrics.jsonl"
        if not step and self._path.exists() and (text := self._path.read_bytes()):
            old = self._path.with_name("metrics.jsonl.old")
            with named_errors("write", old), old.open("ab") as file:
                file.write(text)
        rows = [row for row in _rows(self._path) if row["step"] <= step] if step else []
        write_text(self._path, "".join(json.dumps(row) + "\n" for row in rows))
        self._origin = started - (rows[-1]["seconds"] if rows else 0.0)
        # Not a SummaryWriter, whose thread dies of a full disk and then makes the run wait forever.
        self._board_path = workdir / "tensorboard"
        with named_errors("write", self._board_path):
            self._board_path.mkdir(exist_ok=True)
            self._board = EventsWriter(str(self._board_path / "events"))
            start = SessionLog(status=SessionLog.START)  # hides what was written past the step
            self._board.write_event(Event(step=step + 1, session_log=start, wall_time=time.time()))

    def seconds(self) -> float:
        """Since the run began, without the time between its starts."""
        return time.monotonic() - self._origin

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Writes one row; values that are not finite become null."""
        row = {"step": step, "seconds": round(self.seconds(), 2)}
        row |= {n: value if math.isfinite(value) else None for n, value in metrics.items()}
        with named_errors("write", self._board_path):
            for name, value in metrics.items():
                summary = scalar(name, value)
                self._board.write_event(Event(step=step, summary=summary, wall_time=time.time()))
            self._board.flush()
        with named_errors("write", self._path), self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())  # no checkpoint may outlive a row before it

    def close(self) -> None:
        with named_errors("write", self._board_path):
            self._board.close()


class Progress(tqdm):
    """A bar from ``step`` to ``steps`` on standard error, with the estimated time left."""

    def __init__(self, step: int, steps: int, disable: bool):
        super().__init__(
            total=steps,
            initial=step,
            desc="compiling" if step < steps else "trained",
            unit="step",
            dynamic_ncols=True,
            disable=disable,
            mininterval=0.5 if sys.stderr.isatty() else 15.0,
        )

    def advance(self, steps: int, metrics: dict[str, float]) -> None:
        """Counts the steps of a call, and shows its metrics."""
        self.set_description("training", refresh=False)
        self.set_postfix_str(_summary(metrics), refresh=False)
        self.update(steps)

    def report(self, step: int, seconds: float, metrics: dict[str, float]) -> None:
        """Prints the metrics of an evaluation, on a line of their own."""
        if not self.disable:
            self.write(f"step {step:>7}  {seconds:6.0f} s  {_summary(metrics)}")


def _summary(metrics: dict[str, float]) -> str:
    names = ("loss", "accuracy", "nll", "bits_per_dim")
    return "  ".join(f"{k} {v:.4g}" for k, v in metrics.items() if k.endswith(names))


def print_result(name: str, workdir: Path, result: Any, poster: tuple[str, float] | None) -> None:
    """Prints the table at the end of a run: the ``result`` has ``step``, ``seconds``, ``accuracy``
    (percent) and ``bits_per_dim`` (or None); ``poster`` is a label and the accuracy that the poster
    reports, if it does."""
    table = Table(title=f"{name}: {result.step} steps in {result.seconds:.0f} s")
    table.add_column("test set")
    table.add_column("measured", justify="right")
    row = ["accuracy (%)", f"{result.accuracy:.2f}"]
    if poster:
        table.add_column(f"poster, {poster[0]}", justify="right")
        row.append(f"{poster[1]:.2f}")
    table.add_row(*row)
    if result.bits_per_dim is not None:
        table.add_row("bits/dim", f"{result.bits_per_dim:.3f}")
    console = Console()
    console.print(table)
    console.print(f"written to {workdir}", highlight=False)
