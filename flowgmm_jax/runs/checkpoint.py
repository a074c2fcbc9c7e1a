"""Checkpoints: asynchronous and atomic saves, and the newest sound one.

Orbax saves in the background, renames a directory when it is complete, and keeps the newest two.
The files in it are our own: those of orbax's StandardSave are decoded before their content is
verified, so that flipped bytes end in errors of many types and in tracebacks from its threads. Here
no byte is interpreted before its digest is verified, and nothing can be executed, as in a pickle:

- ``metadata``: JSON with the config, the sums of metrics, and name, dtype and shape of all leaves;
- ``FIELD.bin`` for each field of the state: the bytes of its leaves, one after the other.

The first line of each is the blake2b digest of the rest.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from flowgmm_jax.errors import InputError
from flowgmm_jax.runs.workdir import difference

KEEP = 2  # checkpoints


class Damaged(Exception):
    """A checkpoint is not one that was saved of such a state; the message, a clause, says why."""


class _Handler(ocp.AsyncCheckpointHandler):
    """Writes the files of a checkpoint in a thread of orbax."""

    async def async_save(self, directory, args):
        args = dataclasses.replace(args, state=jax.device_get(args.state))

        async def write():
            _write(Path(directory), args)

        return [ocp.future.CommitFutureAwaitingContractedSignals(write(), name="write_state")]

    save = restore = None  # abstract in orbax; ``restore`` below reads the files


@ocp.args.register_with_handler(_Handler, for_save=True, for_restore=True)
@dataclasses.dataclass(repr=False)  # orbax prints it
class _Save(ocp.args.CheckpointArgs):
    state: dict[str, Any]
    sums: dict[str, float]
    config: dict


class Checkpoints:
    """Saves the checkpoints of one run in ``workdir/checkpoints``, and keeps the newest two.

    What a killed run left of an unfinished save is removed.

    Raises:
      OSError: if the directory cannot be written.
    """

    def __init__(self, workdir: Path, config: dict):
        self._config = config
        self._directory = (workdir / "checkpoints").resolve()
        self._directory.mkdir(parents=True, exist_ok=True)
        process = jax.process_index()
        options = ocp.CheckpointManagerOptions(
            preservation_policy=ocp.checkpoint_managers.LatestN(KEEP),
            cleanup_tmp_directories=True,
            create=False,
            # One process saves for all, so orbax must not wait for the others.
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=process, active_processes={process}
            ),
        )
        with self._one_line():
            self._manager = ocp.CheckpointManager(self._directory, options=options)

    @contextlib.contextmanager
    def _one_line(self):
        try:
            yield
        except Exception as error:  # orbax raises whatever the storage layer raises
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise OSError(
                f"cannot save a checkpoint in {self._directory}: {reason.splitlines()[0]}"
            ) from error

    def save(self, step: int, state: dict[str, Any], sums: dict[str, float]) -> None:
        """Starts a save, once the save before it is done. A step that is already saved is skipped.

        The state before ``step`` is pytrees of arrays by field. With the ``sums`` of the metrics
        since the last row of metrics.jsonl, a resumed run has the rows of an uninterrupted one.

        Raises:
          OSError: if this or the last save failed. The checkpoints before it are unchanged.
        """
        with self._one_line():
            if step not in self._manager.all_steps():
                item = _Save(state, sums, self._config)
                self._manager.save(step, args=ocp.args.Composite(state=item), force=True)

    def wait(self) -> None:
        """Waits until everything is saved. Raises OSError as ``save`` does."""
        with self._one_line():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and ends orbax's threads."""
        with self._one_line():
            self._manager.close()


class Restored(NamedTuple):
    """The newest sound checkpoint.

    Attributes:
      step: of the checkpoint.
      state: pytrees of arrays, by the names of the wanted fields.
      sums: of the metrics since the last row of metrics.jsonl.
      damaged: directories of newer checkpoints that cannot be used, and why.
    """

    step: int
    state: dict[str, Any]
    sums: dict[str, float]
    damaged: dict[Path, str]


def restore(
    workdir: Path, like: dict[str, Any], config: dict, any_precision: bool = False
) -> Restored | None:
    """The newest sound checkpoint, or None if there is none at all. Only reads.

    The wanted fields of the state, all of them or some, are ``like`` pytrees with the shapes and
    dtypes of the arrays (``jax.eval_shape``). A checkpoint of another ``config`` is not sound; one
    of fewer steps is. With ``any_precision`` numbers of other bits than those of ``like``, of a run
    with another JAX_ENABLE_X64, keep theirs.

    Raises:
      InputError: if there are checkpoints but none is sound, or they have another precision.
      OSError: if files may not be read, which says nothing about them.
    """
    directory = workdir / "checkpoints"
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    damaged = {}
    for step in sorted((int(name) for name in names if name.isdecimal()), reverse=True):
        path = directory / str(step)
        try:
            return Restored(step, *_read(path / "state", like, config, any_precision), damaged)
        except Damaged as reason:
            damaged[path] = str(reason)
    if damaged:
        reasons = "; ".join(f"{path.name}: {reason}" for path, reason in damaged.items())
        raise InputError(f"{directory} holds no sound checkpoint: {reasons}")
    return None


def set_aside(workdir: Path, damaged: dict[Path, str]) -> None:
    """Moves damaged checkpoints to ``workdir/damaged_checkpoints``, so that their steps can be
    saved again, with a line on standard error for each."""
    for path, reason in damaged.items():
        target, count = workdir / "damaged_checkpoints" / path.name, 1
        while target.exists():
            count += 1
            target = target.with_name(f"{path.name}-{count}")
        target.parent.mkdir(exist_ok=True)
        os.rename(path, target)
        print(f"{path} is damaged ({reason}): moved to {target}", file=sys.stderr)


def _write(directory: Path, args: _Save) -> None:
    leaves = {field: _describe(tree) for field, tree in args.state.items()}
    metadata = {"config": args.config, "sums": args.sums, "leaves": leaves}
    _write_file(directory / "metadata", json.dumps(metadata).encode())
    for field, tree in args.state.items():
        arrays = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]
        _write_file(directory / f"{field}.bin", b"".join(arrays))


def _read(
    directory: Path, like: dict[str, Any], config: dict, any_precision: bool
) -> tuple[dict, dict[str, float]]:
    """State and sums. Raises Damaged, and InputError for another precision."""
    metadata = json.loads(_read_file(directory / "metadata"))
    if other := difference({"config": metadata["config"]}, {"config": config}):
        raise Damaged(f"it is of a run with {other}")
    state = {}
    for field, tree in like.items():
        found, expected = metadata["leaves"].get(field, {}), _describe(tree)
        for name in sorted(found.keys() | expected.keys()):
            if found.get(name) == expected.get(name):
                continue
            if not _differ_in_precision(found.get(name), expected.get(name)):
                raise Damaged(
                    f"it holds {found.get(name, 'nothing')} as {field}{name}, "
                    f"not {expected.get(name, 'nothing')}"
                )
            if not any_precision:
                raise InputError(
                    f"{directory.parent} holds {found[name]} as {field}{name}, but this process "
                    f"computes {expected[name]}: expected JAX_ENABLE_X64 as the run began with it"
                )
        content, offset, leaves = _read_file(directory / f"{field}.bin"), 0, []
        for name, leaf in zip(expected, jax.tree.leaves(tree), strict=True):
            array = np.ndarray(leaf.shape, _dtype(found[name]), content, offset)
            leaves.append(jnp.asarray(array))
            offset += array.nbytes
        state[field] = jax.tree.unflatten(jax.tree.structure(tree), leaves)
    return state, metadata["sums"]


def _describe(tree: Any) -> dict[str, str]:
    """Dtypes and shapes of the leaves, by their names."""
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _dtype(described: str) -> np.dtype:
    return jnp.dtype(described.partition("[")[0])


def _differ_in_precision(found: str | None, expected: str | None) -> bool:
    """Whether two entries of ``_describe`` are of one shape and of numbers of one kind."""
    if found is None or expected is None:
        return False
    shapes = {described.partition("[")[2] for described in (found, expected)}
    return len(shapes) == 1 and _dtype(found).kind == _dtype(expected).kind


def _write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(hashlib.blake2b(content).hexdigest().encode() + b"\n")
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # or a power cut may leave the name without the bytes


def _read_file(path: Path) -> bytes:
    try:
        digest, _, content = path.read_bytes().partition(b"\n")
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise Damaged(f"{path.name} is missing") from None
    if digest != hashlib.blake2b(content).hexdigest().encode():
        raise Damaged(f"{path.name} is not as it was saved: its digest is another")
    return content
