"""Rows of metrics, in metrics.jsonl and for TensorBoard; also the clock of a run."""

import json
import math
import os
import time
from pathlib import Path

from tensorboardX import SummaryWriter

from flowgmm_jax.json_files import named_errors, write_text


def _rows(path: Path) -> list[dict]:
    """The rows of a file that are complete: the writing of one may have been cut short."""
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

    Rows past ``step``, written after the checkpoint that the run goes on from, are dropped first;
    where there is no checkpoint they move to ``metrics.jsonl.old``.
    ``started`` is when this start of the run began, by ``time.monotonic()``.

    Raises:
      OSError: when a file cannot be written, in one line that names it.
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
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def seconds(self) -> float:
        """Since the run began, the time between its starts left out."""
        return time.monotonic() - self._origin

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """One row; a value that is not finite is written as null."""
        row = {"step": step, "seconds": round(self.seconds(), 2)}
        for name, value in metrics.items():
            row[name] = value if math.isfinite(value) else None
            if math.isfinite(value):
                self._board.add_scalar(name, value, step)
        with named_errors("write", self._path), self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def sync(self) -> None:
        """Waits until the disk has the rows, so that no checkpoint outlives rows before it."""
        with named_errors("write", self._path), self._path.open("a") as file:
            os.fsync(file.fileno())

    def close(self) -> None:
        self._board.close()
