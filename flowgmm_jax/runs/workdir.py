"""The config that a directory belongs to, and the process that trains in it."""

import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from ml_collections import ConfigDict

from flowgmm_jax.errors import InputError
from flowgmm_jax.files import named_errors, read_json, to_json, write_text
from flowgmm_jax.runs.differences import difference


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
