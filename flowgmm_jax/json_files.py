"""Small JSON files, written whole or not at all."""

import json
import math
import os
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flowgmm_jax.errors import InputError


def to_json(config: ConfigDict) -> dict:
    """A config as what JSON gives back: tuples are lists."""
    return json.loads(config.to_json_best_effort())


def write_json(path: Path, value: Any) -> None:
    """Writes atomically: a reader finds the old file or the new one, never a part.

    Top-level numbers that are not finite, which JSON has no word for, are written as null.
    """
    value = {
        name: None if isinstance(entry, float) and not math.isfinite(entry) else entry
        for name, entry in value.items()
    }
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(temporary, path)


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
