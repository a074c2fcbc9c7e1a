"""Where one program becomes many: the mapping over devices, of all processes."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from flowgmm_jax.errors import InputError
from flowgmm_jax.training.step import AXIS


def check_divides(field: str, number: int, expected: str | None = None) -> None:
    """Raises InputError, with the numbers, when the devices do not divide a field's number evenly.

    ``expected`` says what would do, where any multiple of the number of devices would not.
    """
    if number % jax.device_count():
        raise InputError(
            f"config.{field} is {number}, which {jax.device_count()} devices do not divide evenly: "
            f"expected {expected or f'a multiple of {jax.device_count()}'}"
        )


def local_shards(num_shards: int) -> range:
    """The numbers of this process's shares of a batch: the mapping counts process by process."""
    local = num_shards // jax.process_count()
    return range(jax.process_index() * local, (jax.process_index() + 1) * local)


def replicate(tree: Any) -> Any:
    """A copy of every leaf on every local device, stacked along a new leading axis."""
    local = jax.local_devices()
    sharding = NamedSharding(Mesh(np.array(local), (AXIS,)), PartitionSpec(AXIS))

    def put(leaf):
        leaf = np.asarray(leaf)
        return jax.device_put(np.broadcast_to(leaf, (len(local), *leaf.shape)), sharding)

    return jax.tree.map(put, tree)


def unreplicate(tree: Any) -> Any:
    """This process's first copy of every leaf, on its device: nothing is communicated."""
    return jax.tree.map(lambda leaf: leaf.addressable_shards[0].data[0], tree)


def map_train_steps(train_steps: Callable) -> Callable:
    """Maps ``train_steps(state, data, seed, count)`` over the devices of all processes and compiles
    it.

    State and data have a leading axis of local devices; the given state is consumed.
    """
    return jax.pmap(train_steps, axis_name=AXIS, in_axes=(0, 0, None, None), donate_argnums=(0,))
