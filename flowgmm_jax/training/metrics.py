"""Rows of metrics, in metrics.jsonl and for TensorBoard; also the clock of a run."""

import json
import math
import os
import time
from pathlib import Path

from tensorboardX import SummaryWriter


def _rows(path: Path) -> list[dict]:
    """The complete rows of a file, whose writing may have been cut short."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


class MetricsWriter:
    """Appends rows to ``metrics.jsonl`` and to TensorBoard's files.

    Rows past ``step``, written after the checkpoint that the run goes on from, are dropped first.
    ``started`` is when this start of the run began, by ``time.monotonic()``.
    """

    def __init__(self, workdir: Path, step: int, started: float):
        self._path = workdir / "metrics.jsonl"
        rows = [row for row in _rows(self._path) if row["step"] <= step]
        if self._path.exists() and not rows:  # of a run whose checkpoints are gone
            os.replace(self._path, self._path.with_name("metrics.jsonl.old"))
        text = "".join(json.dumps(row) + "\n" for row in rows)
        temporary = self._path.with_name("metrics.jsonl.tmp")
        temporary.write_text(text)
        os.replace(temporary, self._path)
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
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        self._board.close()


class Clock:
    """A MetricsWriter for the processes that write nothing."""

    def __init__(self, started: float):
        self._started = started

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def write(self, step: int, metrics: dict[str, float]) -> None:
        pass

    def close(self) -> None:
        pass
