"""Rows of metrics, in metrics.jsonl and for TensorBoard; also the clock of a run."""

import json
import math
import os
import time
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.summary import scalar

from flowgmm_jax.files import named_errors, write_text


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
        # Not a SummaryWriter, whose thread dies of a full disk and then makes the run wait forever.
        self._board_path = workdir / "tensorboard"
        with named_errors("write", self._board_path):
            self._board_path.mkdir(exist_ok=True)
            self._board = EventsWriter(str(self._board_path / "events"))
            start = SessionLog(status=SessionLog.START)  # hides what was written past the step
            self._board.write_event(Event(step=step + 1, session_log=start, wall_time=time.time()))

    def seconds(self) -> float:
        """Since the run began, the time between its starts left out."""
        return time.monotonic() - self._origin

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """One row; a value that is not finite is written as null."""
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


class Clock:
    """A ``MetricsWriter`` for the processes that write nothing."""

    def __init__(self, started: float):
        self._started = started

    def seconds(self) -> float:
        return time.monotonic() - self._started

    def write(self, step: int, metrics: dict[str, float]) -> None:
        pass

    def close(self) -> None:
        pass
