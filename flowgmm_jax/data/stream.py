"""Examples from the host, for training sets that do not fit on the device.

Which examples a step sees is a function of (seed, step), as on the device: the host computes the
same indices, takes these examples, from a file if that is where they are, and sends them as they
are stored; their views are made inside the step. So the batches are bit for bit those of the
device, and a run resumes with no state of an iterator.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import grain
import jax
import numpy as np

from flowgmm_jax.data.augment import View
from flowgmm_jax.data.batches import (
    Batch,
    Examples,
    Pool,
    Share,
    draw_indices,
    gather,
    make_views,
)
from flowgmm_jax.errors import InputError

THREADS = 8


class Window(NamedTuple):
    """One device's examples of some consecutive steps; for several devices their axis is in front.

    Attributes:
      first_step: scalar int32.
      examples: Examples whose arrays have two more axes in front, of shares and of steps.
    """

    first_step: jax.Array | np.ndarray
    examples: Examples


def stream(
    pool: Pool,
    key: jax.Array,
    steps: range,
    shards: Sequence[int],
    num_shards: int,
    batch_labeled: int,
    batch_unlabeled: int,
    prefetch: int,
) -> Iterator[tuple[int, Examples]]:
    """The examples of each step, read ahead by threads.

    Args:
      pool: the training set, on the host; its memory may be a file.
      key: the run's data key.
      steps: consecutive ones, from the next.
      shards: numbers of this process's shares of a batch.
      num_shards: number of all shares; divides both batch sizes.
      batch_labeled: labelled examples of the whole batch.
      batch_unlabeled: unlabelled ones; may be 0.
      prefetch: steps to read ahead.

    Returns:
      An iterator over steps and the Examples of these shards, arrays (len(shards), b, ...).

    Raises:
      InputError: when JAX may not use the CPU, which computes the indices.
    """
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError as error:
        raise InputError(
            "streaming from the host needs JAX's CPU backend beside the accelerator's: expected "
            f"JAX_PLATFORMS to name cpu too, found {jax.config.jax_platforms!r}"
        ) from error
    on_cpu = jax.device_put((pool.labeled, pool.unlabeled, key), cpu)

    @jax.jit
    def indices(labeled, unlabeled, key, step):
        def of_shard(shard):
            share = Share(shard, num_shards)
            return draw_indices(
                labeled, unlabeled, key, step, share, batch_labeled, batch_unlabeled
            )

        return jax.vmap(of_shard)(np.asarray(shards, np.int32))

    def read(step):
        return step, gather(pool.x, pool.y, jax.device_get(indices(*on_cpu, step)))

    options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=max(prefetch, THREADS))
    return iter(grain.MapDataset.source(steps).map(read).to_iter_dataset(options))


def next_window(
    batches: Iterator[tuple[int, Examples]], count: int, capacity: int, num_devices: int
) -> Window:
    """The next ``count`` steps of a ``stream`` as arrays (num_devices, shares, capacity, b, ...).

    Each device has as many shares as any other. Missing steps are filled up with zeros, so that one
    program serves any number of steps.
    """
    steps, examples = zip(*itertools.islice(batches, count), strict=True)

    def stack(*arrays):
        shards, *shape = arrays[0].shape
        stacked = np.zeros((shards, capacity, *shape), arrays[0].dtype)
        for i, array in enumerate(arrays):
            stacked[:, i] = array
        return stacked.reshape(num_devices, shards // num_devices, *stacked.shape[1:])

    examples = jax.tree.map(stack, *examples)
    return Window(np.full(len(examples.y), steps[0], np.int32), examples)


def views_of_window(
    window: Window,
    key: jax.Array,
    step: jax.Array,
    shard: jax.Array,
    num_shards: int,
    student: View,
    teacher: View,
) -> Batch:
    """One share of the batch of a step, as ``sampling.draw_batch`` gives it.

    ``window`` is that of the device whose share it is: the k shares of device i have the numbers
    i k ... i k + k - 1. The other arguments are those of ``make_views``.
    """
    examples = jax.tree.map(
        lambda array: array[shard % len(array), step - window.first_step], window.examples
    )
    return make_views(examples, key, step, Share(shard, num_shards), student, teacher)
