"""The directory of a run: the config and the data it belongs to, and the process that trains there.

``config.json`` is the config and ``data.json`` the facts of the data (shape, number of classes,
fingerprint, preprocessing): a run continues only with the same of both, but for more steps. The
description in ``data.json`` is for people.
"""

import contextlib
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from flax.traverse_util import flatten_dict

from flowgmm_jax.errors import InputError
from flowgmm_jax.files import named_errors, read_json, write_text

# Fields that may change from one start of a run to the next, since the result does not depend on
# them: where the data are and what their columns are called (the fingerprint says what they hold),
# how often to log, and when to give up.
FREE_FIELDS = {
    "config.data.data_dir",
    "config.data.device_bytes",
    "config.data.split_file",
    "config.train.log_every",
    "config.train.eval_every",
    "config.train.checkpoint_every",
    "config.train.steps_per_call",
    "config.train.max_nonfinite_steps",
    "data.preprocessing.columns",
}
STEPS = "config.train.steps"  # of which a run may be given more
# Fields that configs of older runs do not have, with the values that stand for what these did.
LATER_FIELDS = {"config.data.label": "", "config.data.image_size": 0}
# For people: it says where the data are stored too.
DESCRIPTION = "data.description."
# Fields in which the processes of one job may differ.
LOCAL_FIELDS = {"config.data.data_dir", "config.data.split_file"}


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


def check_claim(workdir: Path, config: dict, data: dict) -> dict | None:
    """Checks that the run in the workdir, if it saved anything, has this config and these data, but
    for more steps; only reads.

    Returns:
      The config of that run, or None: a run that saved nothing failed at the start.

    Raises:
      InputError: if the workdir holds a run with another config or other data, or one without its
        config.json or data.json.
    """
    for trained in (workdir / "checkpoints", workdir / "result.json"):
        if not trained.exists() or (trained.is_dir() and not any(trained.iterdir())):
            continue
        for name, new in {"config": config, "data": data}.items():
            path = workdir / f"{name}.json"
            if not path.exists():
                raise InputError(
                    f"{trained} exists, but {path} does not exist: choose another --workdir"
                )
            if other := difference({name: read_json(path)}, {name: new}):
                raise InputError(f"{workdir} holds a run with {other}: choose another --workdir")
        return read_json(workdir / "config.json")
    return None


def claim(workdir: Path, config: dict, data: dict) -> None:
    """Writes config.json and data.json. The config of a run that is given more steps is kept as
    ``config_of_N_steps.json``.

    Raises:
      InputError: as ``check_claim``; nothing is changed then.
      OSError: if a file cannot be written.
    """
    before = check_claim(workdir, config, data)
    files = {"config": config, "data": data}
    if before and before["train"]["steps"] != config["train"]["steps"]:
        files[f"config_of_{before['train']['steps']}_steps"] = before
    workdir.mkdir(parents=True, exist_ok=True)
    for name, new in files.items():
        # Not by write_json: an infinite field, such as clip_norm, must be read back as it is.
        write_text(workdir / f"{name}.json", json.dumps(new, indent=2) + "\n")


def check_agrees(config: dict, data: dict, primary: tuple[dict, dict]) -> None:
    """Checks that this process has the config and the data of process 0, ``primary``, as JSON.

    Raises:
      InputError: naming the first field that differs.
    """
    theirs = dict(zip(("config", "data"), primary, strict=True))
    if other := difference(theirs, {"config": config, "data": data}, LOCAL_FIELDS, False):
        raise InputError(
            f"process 0 has {other}: expected the same flags and data in every process"
        )


def difference(
    old: dict, new: dict, free: set[str] = FREE_FIELDS, may_go_on: bool = True
) -> str | None:
    """The first field in which two runs differ, ``config.FIELD = OLD, not NEW``, in alphabetical
    order, or None. A run is ``{"config": config}``, or also ``"data"``, as JSON; ``free`` fields
    may differ, and if it ``may_go_on`` the new one may have more steps."""
    # As JSON gives them back: tuples are lists.
    old, new = (flatten_dict(json.loads(json.dumps(tree)), sep=".") for tree in (old, new))
    for name in sorted((old.keys() | new.keys()) - free):
        if name.startswith(DESCRIPTION):
            continue
        if name not in old:
            if name in LATER_FIELDS and new[name] == LATER_FIELDS[name]:
                continue
            return f"no {name}, not {new[name]!r}"
        if name not in new:
            return f"{name} = {old[name]!r}, not without it"
        if name == STEPS and may_go_on and old[name] < new[name]:
            continue
        if old[name] != new[name]:
            return f"{name} = {old[name]!r}, not {new[name]!r}"
    return None
