"""The files of a run: config.json, metrics.jsonl, result.json, and TensorBoard's."""

import json
import math
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict
from tensorboardX import SummaryWriter

from flowgmm_jax.errors import InputError

# Fields that may change from one start of a run to the next: where things are, and how often to
# look, but nothing that the result depends on.
FREE_FIELDS = (
    "data.data_dir",
    "poster",
    "train.eval_every",
    "train.checkpoint_every",
)


def write_json(path: Path, value: Any) -> None:
    """Writes atomically: a reader finds the old file or the new one, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(temporary, path)


def _flatten(tree: dict, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def claim(workdir: Path, config: ConfigDict) -> None:
    """Makes a workdir this config's, or finds that it already is.

    Raises:
      InputError: when it holds a run with another config; nothing is changed then.
    """
    path = workdir / "config.json"
    new = json.loads(config.to_json_best_effort())
    if path.exists():
        old_fields, new_fields = _flatten(read_json(path)), _flatten(new)
        for name in sorted(old_fields.keys() | new_fields.keys()):
            found, wanted = old_fields.get(name), new_fields.get(name)
            if found != wanted and not name.startswith(FREE_FIELDS):
                raise InputError(
                    f"{workdir} holds a run with config.{name} = {found!r}, not {wanted!r}: "
                    "choose another --workdir"
                )
    workdir.mkdir(parents=True, exist_ok=True)
    write_json(path, new)


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
      InputError: when it is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: expected the directory of a run") from None
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not JSON: {error}") from None


class MetricsWriter:
    """Appends rows to ``metrics.jsonl`` and to TensorBoard's files.

    Rows past ``step``, written after the checkpoint that the run goes on from, are dropped first.
    """

    def __init__(self, workdir: Path, step: int):
        self._path = workdir / "metrics.jsonl"
        rows = []
        if self._path.exists():
            lines = [line for line in self._path.read_text().splitlines() if line.endswith("}")]
            rows = [row for row in map(json.loads, lines) if row["step"] <= step]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        temporary = self._path.with_name("metrics.jsonl.tmp")
        temporary.write_text(text)
        os.replace(temporary, self._path)
        self.seconds_before = rows[-1]["seconds"] if rows else 0.0
        self._board = SummaryWriter(str(workdir / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, seconds: float, metrics: dict[str, float]) -> None:
        """One row; a value that is not finite is written as null."""
        row = {"step": step, "seconds": round(seconds, 2)}
        for name, value in metrics.items():
            row[name] = value if math.isfinite(value) else None
            if math.isfinite(value):
                self._board.add_scalar(name, value, step)
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")

    def close(self) -> None:
        self._board.close()
