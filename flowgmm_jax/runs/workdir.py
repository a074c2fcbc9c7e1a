"""The directory of a run: the config and the data it belongs to, and the process that trains there.

``config.json`` is the config and ``data.json`` the facts of the data (shape, number of classes,
fingerprint): a run continues only with the same of both.
"""

import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flowgmm_jax.errors import InputError
from flowgmm_jax.files import named_errors, read_json, write_text

# Fields that may change from one start of a run to the next, since the result does not depend on
# them: where the data are, how often to log, and when to give up.
FREE_FIELDS = {
    "config.data.data_dir",
    "config.data.device_bytes",
    "config.data.split_file",
    "config.train.log_every",
    "config.train.eval_every",
    "config.train.checkpoint_every",
    "config.train.steps_per_call",
    "config.train.max_nonfinite_steps",
    "config.train.max_skipped",
}
# Fields in which the processes of one job may differ.
LOCAL_FIELDS = {"config.data.data_dir", "config.data.split_file"}
_ABSENT = object()


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Keeps other processes from training in a workdir, which is created if it does not exist.

    The kernel holds the lock and releases it with the process, however that ends. On a file system
    without locks, a line on standard error warns instead.

    Raises:
      InputError: if another process trains there.
      OSError: if the workdir cannot be written.
    """
    path = workdir / ".lock"
    workdir.mkdir(parents=True, exist_ok=True)
    with named_errors("write", path):
        file = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise InputError(
                f"{workdir} is in use by another run ({file.read().strip()}): wait for its end, or "
                "choose another --workdir"
            ) from None
        except OSError as error:
            print(
                f"{path} cannot be locked ({error.strerror}): start no second run", file=sys.stderr
            )
        with named_errors("write", path):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        yield


def claim(workdir: Path, config: dict, data: dict) -> None:
    """Writes config.json and data.json, or checks that the run in the workdir has the same.

    Those of a run without a checkpoint or a result are replaced: it failed at the start.

    Args:
      workdir: of the run.
      config: of the run, as JSON.
      data: facts of its data, as JSON.

    Raises:
      InputError: if the workdir holds a run with another config or other data, or one without its
        config.json or data.json; nothing is changed then.
      OSError: if a file cannot be written.
    """
    checkpoints, result = workdir / "checkpoints", workdir / "result.json"
    has_checkpoints = checkpoints.is_dir() and any(checkpoints.iterdir())
    if has_checkpoints or result.exists():
        for name, new in (("config", config), ("data", data)):
            path = workdir / f"{name}.json"
            if not path.exists():
                raise InputError(
                    f"{checkpoints if has_checkpoints else result} exists, but {path} does not "
                    "exist: choose another --workdir"
                )
            if other := difference(read_json(path), new, name):
                raise InputError(f"{workdir} holds a run with {other}: choose another --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    for name, new in (("config", config), ("data", data)):
        # Not by write_json: an infinite field, such as clip_norm, must be read back as it is.
        write_text(workdir / f"{name}.json", json.dumps(new, indent=2) + "\n")


def difference(old: dict, new: dict, name: str = "config") -> str | None:
    """The first difference between two configs that matters, as ``config.FIELD = OLD, not NEW``.

    Args:
      old: of a run, as JSON.
      new: likewise.
      name: what they are, ``config`` or ``data``.
    """
    for field, found, wanted in _differences(old, new, name, FREE_FIELDS):
        if found is _ABSENT:
            return f"no {field}, not {wanted!r}"
        return f"{field} = {found!r}, " + (
            "not without it" if wanted is _ABSENT else f"not {wanted!r}"
        )
    return None


def check_agrees(config: dict, data: dict, primary: tuple[dict, dict]) -> None:
    """Checks that this process has the config and the data of process 0.

    Args:
      config: of this process, as JSON.
      data: facts of its data, as JSON.
      primary: config and data of process 0.

    Raises:
      InputError: naming the first field that differs.
    """
    pairs = zip(("config", "data"), (config, data), primary, strict=True)
    for name, ours, theirs in pairs:
        for field, found, wanted in _differences(ours, theirs, name, LOCAL_FIELDS):
            found, wanted = ("absent" if x is _ABSENT else repr(x) for x in (found, wanted))
            raise InputError(
                f"{field} is {found}, but {wanted} in process 0: expected the same flags and data "
                "in every process"
            )


def _differences(old: dict, new: dict, name: str, free: set[str]) -> Iterator[tuple[str, Any, Any]]:
    """Fields that differ and are not free, in alphabetical order: their name and both values."""
    old, new = _flatten(old, name), _flatten(new, name)
    for field in sorted((old.keys() | new.keys()) - free):
        found, wanted = old.get(field, _ABSENT), new.get(field, _ABSENT)
        if found != wanted:
            yield field, found, wanted


def _flatten(tree: Any, name: str) -> dict[str, Any]:
    """``{"name.section.field": value}``; tuples are lists, as JSON reads them back."""
    if not isinstance(tree, dict):
        return {name: list(tree) if isinstance(tree, tuple) else tree}
    flat = {}
    for key, value in tree.items():
        flat |= _flatten(value, f"{name}.{key}")
    return flat
