"""Where one program becomes many: the mapping over devices, of all processes.

``jax.pmap`` wants a leading axis of local devices on every argument that differs between devices.
Only this module knows of that axis.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import joblib
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "devices"  # name of the mapped axis


def cpu_devices(cores: int, batch_sizes: Sequence[int], microbatches: int) -> int:
    """The largest power of two up to ``cores`` that divides what the devices share.

    Zeros among the ``batch_sizes`` and ``microbatches`` are left out. Where the microbatches are
    fixed, a single core is two devices: XLA merges equal operations earlier in a program for
    several devices, which rounds differently.
    """
    most = max(cores, 2 if microbatches else 1)
    number = 1
    while 2 * number <= most and not any(n % (2 * number) for n in (*batch_sizes, microbatches)):
        number *= 2
    return number


def use_all_cores(batch_sizes: Sequence[int], microbatches: int) -> None:
    """Makes the CPU ``cpu_devices``; before any computation. A number that the user has set, by
    JAX_NUM_CPU_DEVICES or XLA_FLAGS, stays."""
    is_set = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not is_set and jax.config.jax_num_cpu_devices < 1:
        number = cpu_devices(joblib.cpu_count(), batch_sizes, microbatches)
        jax.config.update("jax_num_cpu_devices", number)


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
