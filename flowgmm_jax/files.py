"""Small files, written whole or not at all."""

import contextlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flowgmm_jax.errors import InputError


def to_json(config: ConfigDict) -> dict:
    """A config as JSON reads it back: tuples become lists."""
    return json.loads(config.to_json_best_effort())


@contextlib.contextmanager
def named_errors(action: str, path: Path) -> Iterator[None]:
    """Raises an OSError of the body (such as a full or read-only disk) as one line with the name of
    the file, which is missing from those of ``write``."""
    try:
        yield
    except OSError as error:
        raise OSError(f"cannot {action} {path}: {error.strerror or error}") from error


def write_text(path: Path, text: str) -> None:
    """Writes atomically: a reader finds the old file or the new one, never part of it.

    Raises:
      OSError: one line that names the file; the old one is unchanged.
    """
    temporary = path.with_name(path.name + ".tmp")
    with named_errors("write", path):
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())  # or a power cut may leave the new name without the bytes
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_new(path: Path, content: bytes) -> None:
    """Writes a file that was not there.

    Raises:
      InputError: if it is there.
      OSError: one line that names the file.
    """
    with named_errors("write", path):
        try:
            file = path.open("xb")
        except FileExistsError:
            raise InputError(f"{path} exists: expected the name of a new file") from None
        try:
            with file:
                file.write(content)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise


def _finite(value: Any) -> Any:
    """The value with None for numbers that are not finite, which are not valid JSON."""
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    """Writes atomically, as ``write_text`` does; numbers that are not finite become null.

    Raises:
      OSError: one line that names the file; the old one is unchanged.
    """
    write_text(path, json.dumps(_finite(value), indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> dict:
    """The JSON object in a file.

    Raises:
      InputError: if the file does not exist or is not JSON.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: expected the directory of a run") from None
    except ValueError as error:  # also for bytes that are not text
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}, expected a JSON object")
    return value
