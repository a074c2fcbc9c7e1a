"""Checkpoints: orbax, asynchronous and atomic, of a state without the device axis."""

from pathlib import Path

import jax
import orbax.checkpoint as ocp

from flowgmm_jax.errors import InputError
from flowgmm_jax.training.step import TrainState


def open_manager(workdir: Path, keep: int = 2) -> ocp.CheckpointManager:
    """The manager of ``workdir/checkpoints``, which keeps the newest ``keep``.

    It belongs to this process: of several, one saves and restores for all.
    """
    directory = (workdir / "checkpoints").resolve()
    directory.mkdir(parents=True, exist_ok=True)
    process = jax.process_index()
    options = ocp.CheckpointManagerOptions(
        max_to_keep=keep,
        create=False,
        multiprocessing_options=ocp.options.MultiprocessingOptions(
            primary_host=process, active_processes={process}
        ),
    )
    return ocp.CheckpointManager(directory, options=options)


def save(manager: ocp.CheckpointManager | None, state: TrainState, sums: dict[str, float]) -> None:
    """Begins to save, ``wait`` waits for the end; nothing where there is no manager.

    ``sums`` are of the metrics since the last row of metrics.jsonl: with them, the rows of a
    resumed run are those of an undisturbed one.
    """
    if manager is None:
        return
    state = jax.device_get(state)  # orbax takes a device's array for a part of a job's
    step = int(state.step)
    if step not in manager.all_steps():
        items = ocp.args.Composite(state=ocp.args.StandardSave(state), sums=ocp.args.JsonSave(sums))
        manager.save(step, args=items)


def wait(manager: ocp.CheckpointManager | None) -> None:
    """Until everything is saved."""
    if manager is not None:
        manager.wait_until_finished()


def restore(
    manager: ocp.CheckpointManager, like: TrainState
) -> tuple[TrainState, dict[str, float]] | None:
    """The newest checkpoint, or None where there is none.

    Args:
      manager: from ``open_manager``.
      like: a state of the wanted structure, shapes and dtypes (``jax.eval_shape`` gives one).

    Raises:
      InputError: when the checkpoint cannot be read as such a state.
    """
    step = manager.latest_step()
    if step is None:
        return None
    device = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
    target = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=device), like)
    try:
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(target), sums=ocp.args.JsonRestore()
        )
        restored = manager.restore(step, args=items)
        return restored["state"], restored["sums"]
    except Exception as error:  # orbax raises whatever the storage layer raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"the checkpoint {manager.directory / str(step)} cannot be read as this config's "
            f"state: {reason}"
        ) from error
