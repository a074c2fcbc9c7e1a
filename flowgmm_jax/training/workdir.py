"""The config that a directory belongs to, and the process that trains in it."""

import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from flowgmm_jax.errors import InputError
from flowgmm_jax.json_files import named_errors, read_json, to_json, write_text

# Fields that may change from one start of a run to the next: where things are (the data themselves
# are compared by their fingerprint), when to look and when to give up, but nothing that the result
# depends on.
FREE_FIELDS = {
    "data.data_dir",
    "data.device_bytes",
    "data.split_file",
    "poster.row",
    "poster.accuracy",
    "train.log_every",
    "train.eval_every",
    "train.checkpoint_every",
    "train.steps_per_call",
    "train.max_skipped",
}
# Fields in which the processes of one job may differ.
LOCAL_FIELDS = ("data.data_dir", "data.split_file")
# What runs did before there was a field for it.
BEFORE = {"train.parts": 0}
_ABSENT = object()


@contextlib.contextmanager
def lock(workdir: Path) -> Iterator[None]:
    """Keeps other processes from training in a workdir, which is made where it is missing.

    The kernel holds the lock and releases it with the process, however that ends.

    Where the file system has no locks, a line on standard error says so.

    Raises:
      InputError: when another process trains there.
      OSError: when the workdir cannot be written.
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


def _flatten(tree: dict, prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def difference(old: dict, new: dict) -> str | None:
    """The first difference between two configs that matters, as ``config.FIELD = OLD, not NEW``.

    A field that only one has was added or removed by another version of the code and is not
    compared, but for those of ``flow``: they are arguments, which have defaults; and those of
    ``BEFORE``.
    """
    old, new = BEFORE | _flatten(old), BEFORE | _flatten(new)
    for name in sorted(old.keys() | new.keys()):
        found, wanted = old.get(name, _ABSENT), new.get(name, _ABSENT)
        if name in FREE_FIELDS or found == wanted:
            continue
        if found is _ABSENT or wanted is _ABSENT:
            if not name.startswith("flow."):
                continue
            return (
                f"no config.{name}, not {wanted!r}"
                if found is _ABSENT
                else f"config.{name} = {found!r}, not without it"
            )
        return f"config.{name} = {found!r}, not {wanted!r}"
    return None


def claim(workdir: Path, config: ConfigDict) -> None:
    """Makes a workdir this config's, or finds that it already is.

    A config without a checkpoint or a result is replaced: its run failed at the start.

    Raises:
      InputError: when it holds a run with another config, or files that look like one but no
        config; nothing is changed then.
      OSError: when the config cannot be written.
    """
    path = workdir / "config.json"
    new = to_json(config)
    checkpoints = workdir / "checkpoints"
    for trained in (checkpoints, workdir / "result.json"):
        if not trained.exists() or (trained.is_dir() and not any(trained.iterdir())):
            continue
        if not path.exists():
            raise InputError(
                f"{trained} exists, but {path} does not exist: choose another --workdir"
            )
        if other := difference(read_json(path), new):
            raise InputError(f"{workdir} holds a run with {other}: choose another --workdir")
    workdir.mkdir(parents=True, exist_ok=True)
    # As Python writes it: an infinite field, such as a clip_norm, must come back as it is.
    write_text(path, json.dumps(new, indent=2) + "\n")


def check_agrees(config: ConfigDict, primary: dict) -> None:
    """Checks that this process has the config and the data of process 0, ``primary`` as JSON.

    Raises:
      InputError: naming the first field that differs.
    """
    ours, theirs = _flatten(to_json(config)), _flatten(primary)
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name) and name not in LOCAL_FIELDS:
            raise InputError(
                f"config.{name} is {ours.get(name)!r}, but {theirs.get(name)!r} in process 0: "
                "expected the same flags and data in every process"
            )
