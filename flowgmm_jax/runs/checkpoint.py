"""Checkpoints, asynchronous and atomic: which are saved and kept, and which one is sound.

Orbax does the work in the background and renames a directory when it is complete; what is in it is
one file (runs/state_file.py), whose digest tells a sound one.
"""

import contextlib
import dataclasses
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp

from flowgmm_jax.errors import InputError
from flowgmm_jax.runs import state_file
from flowgmm_jax.runs.state_file import Content, Damaged
from flowgmm_jax.runs.workdir import difference

KEEP = 2
FILE = Path("state") / "state.msgpack"  # within the directory of a step


class _Handler(ocp.AsyncCheckpointHandler):
    """Writes the file of a checkpoint in a thread of orbax's."""

    async def async_save(self, directory, args):
        content = args.content._replace(state=jax.device_get(args.content.state))

        async def write():
            state_file.write(Path(directory) / FILE.name, content)

        return [ocp.future.CommitFutureAwaitingContractedSignals(write(), name="write_state")]

    def save(self, directory, args):
        raise NotImplementedError("saves are asynchronous")

    def restore(self, directory, args):
        raise NotImplementedError("see restore()")


@dataclasses.dataclass
class _SaveArgs(ocp.args.CheckpointArgs):
    content: Content = dataclasses.field(repr=False)  # orbax puts the rest into its messages


class Checkpoints:
    """Saves the checkpoints of one run into ``workdir/checkpoints``, and keeps the newest two.

    What a killed run left of an unfinished save is removed.
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
            # It belongs to this process: of several, one saves for all.
            multiprocessing_options=ocp.options.MultiprocessingOptions(
                primary_host=process, active_processes={process}
            ),
        )
        with self._one_line():
            registry = ocp.handlers.DefaultCheckpointHandlerRegistry()
            registry.add("state", _SaveArgs, _Handler())
            self._manager = ocp.CheckpointManager(
                self._directory, options=options, handler_registry=registry
            )

    @contextlib.contextmanager
    def _one_line(self):
        try:
            yield
        except Exception as error:  # orbax raises whatever the storage layer raises
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise OSError(
                f"cannot save a checkpoint in {self._directory}: {reason.splitlines()[0]}"
            ) from error

    def save(self, state: Any, sums: dict[str, float]) -> None:
        """Begins to save, once a save before is done; a step that is saved already is left alone.

        Raises:
          OSError: when this or the last save failed. The checkpoints before it are as they were.
        """
        step = int(state.step)
        with self._one_line():
            if step not in self._manager.all_steps():
                content = _SaveArgs(Content(state, sums, self._config))
                self._manager.save(step, args=ocp.args.Composite(state=content), force=True)

    def wait(self) -> None:
        """Waits until everything is saved.

        Raises:
          OSError: when the last save failed. The checkpoints before it are as they were.
        """
        with self._one_line():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Waits, and ends orbax's threads."""
        with self._one_line():
            self._manager.close()


class NoCheckpoints:
    """``Checkpoints`` for the processes that save nothing."""

    def save(self, state: Any, sums: dict[str, float]) -> None:
        pass

    def wait(self) -> None:
        pass

    def close(self) -> None:
        pass


class Restored(NamedTuple):
    """The newest sound checkpoint.

    Attributes:
      content: what was saved.
      damaged: directories of newer checkpoints that cannot be used, and why.
    """

    content: Content
    damaged: dict[Path, str]


def restore(workdir: Path, like: Any, config: dict) -> Restored | None:
    """The newest sound checkpoint, or None where there is none at all. Reads, and changes nothing.

    Args:
      workdir: of the run.
      like: a state of the wanted structure, shapes and dtypes (``jax.eval_shape`` gives one).
      config: of the run, as JSON; checkpoints of another one are not sound.

    Raises:
      InputError: when there are checkpoints but none is sound.
      OSError: when files may not be read, which says nothing about them.
    """
    directory = workdir / "checkpoints"
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    damaged = {}
    for step in sorted((int(name) for name in names if name.isdecimal()), reverse=True):
        path = directory / str(step)
        try:
            content = state_file.read(path / FILE, like)
            if other := difference(content.config, config):
                raise Damaged(f"it is of a run with {other}")
            return Restored(content, damaged)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            damaged[path] = f"{FILE} is missing"
        except Damaged as reason:
            damaged[path] = str(reason)
    if damaged:
        reasons = "; ".join(f"{path.name}: {reason}" for path, reason in damaged.items())
        raise InputError(f"{directory} holds no sound checkpoint: {reasons}")
    return None


def set_aside(workdir: Path, damaged: dict[Path, str]) -> None:
    """Moves damaged checkpoints to ``workdir/damaged_checkpoints``, so that their steps can be
    saved again, and says so."""
    for path, reason in damaged.items():
        target = workdir / "damaged_checkpoints" / path.name
        count = 1
        while target.exists():
            count += 1
            target = target.with_name(f"{path.name}-{count}")
        target.parent.mkdir(exist_ok=True)
        os.rename(path, target)
        print(f"{path} is damaged ({reason}): moved to {target}", file=sys.stderr)
