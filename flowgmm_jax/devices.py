"""Where one program becomes many: the mapping over devices, of all processes.

``jax.pmap`` wants a leading axis of local devices on every argument that differs between devices.
Only this module knows of that axis.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flowgmm_jax.errors import InputError

AXIS = "devices"  # name of the mapped axis


def check_divides(field: str, number: int, expected: str | None = None) -> None:
    """Raises InputError, with the numbers, if the devices do not divide a field's number evenly.

    ``expected`` says what would do, if not any multiple of the number of devices would.
    """
    if number % jax.device_count():
        raise InputError(
            f"config.{field} is {number}, which {jax.device_count()} devices do not divide evenly: "
            f"expected {expected or f'a multiple of {jax.device_count()}'}"
        )


def local_microbatches(num_microbatches: int) -> range:
    """The microbatches of this process: the mapping counts process by process."""
    local = num_microbatches // jax.process_count()
    return range(jax.process_index() * local, (jax.process_index() + 1) * local)


def _put(stacked: np.ndarray) -> jax.Array:
    """An array (local devices, ...) with each entry on its device."""
    mesh = Mesh(np.array(jax.local_devices()), (AXIS,))
    return jax.device_put(stacked, NamedSharding(mesh, PartitionSpec(AXIS)))


def replicate(tree: Any) -> Any:
    """A copy of every leaf on every local device."""

    def copy(leaf):
        leaf = np.asarray(leaf)
        return _put(np.broadcast_to(leaf, (jax.local_device_count(), *leaf.shape)))

    return jax.tree.map(copy, tree)


def unreplicate(tree: Any) -> Any:
    """This process's first copy of every leaf, on its device: nothing is communicated."""
    return jax.tree.map(lambda leaf: leaf.addressable_shards[0].data[0], tree)


def distribute(tree: Any) -> Any:
    """Host arrays (this process's microbatches, ...), divided evenly among the local devices."""

    def divide(leaf):
        devices = jax.local_device_count()
        return _put(leaf.reshape(devices, len(leaf) // devices, *leaf.shape[1:]))

    return jax.tree.map(divide, tree)


def map_train_steps(train_steps: Callable) -> Callable:
    """Maps ``train_steps(state, data, seed, count)`` over the devices of all processes and compiles
    it.

    State and data are of ``replicate`` or ``distribute``; the given state is consumed.
    """
    return jax.pmap(train_steps, axis_name=AXIS, in_axes=(0, 0, None, None), donate_argnums=(0,))
