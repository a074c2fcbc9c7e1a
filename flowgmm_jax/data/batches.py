"""Batches of views: what the steps of a training run see.

A microbatch is drawn in three pure pieces: which examples (``sampling.draw_indices``), the examples
themselves (``sampling.gather``), and random views of them (``apply_views``). ``draw_batch``
composes them on the device, so that nothing waits for the host. If the examples do not fit on the
device, the host does the first two, reading from a file if that is where they are, and sends the
examples as they are stored; their views are made inside the step. So the batches are the same bit
for bit, and a run resumes with no state of an iterator.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flowgmm_jax import devices
from flowgmm_jax.data.augment import Views
from flowgmm_jax.data.sampling import (
    BatchSizes,
    RawBatch,
    draw_indices,
    gather,
    positions,
    split_keys,
)
from flowgmm_jax.data.splits import Pool
from flowgmm_jax.errors import InputError

THREADS = 8


class Batch(NamedTuple):
    """What a training step sees: views of B_l labelled and B_u unlabelled examples, float32.

    Integer images are dequantised. If ``x_density`` is given, only it is, and the other views have
    pixels at the centres of their grey levels.

    Attributes:
      x_labeled: (B_l, ...), student views.
      y: (B_l,) int32.
      x_student: (B_u, ...), the views x' that are trained on.
      x_teacher: (B_u, ...), the views x'' of the same examples that give pseudo-labels.
      x_density: (B_d, ...), every (B_u / B_d)-th of these examples, without a random transform,
        whose density is trained; or None.
    """

    x_labeled: jax.Array
    y: jax.Array
    x_student: jax.Array
    x_teacher: jax.Array
    x_density: jax.Array | None = None


def apply_views(
    raw: RawBatch,
    key: jax.Array,
    step: jax.Array,
    microbatch: jax.Array,
    sizes: BatchSizes,
    views: Views,
) -> Batch:
    """Random views of a microbatch of ``draw_indices`` and ``gather``. The view of the density has
    the random numbers of the teacher's."""

    def apply(view, number, key_views, x, every=1):
        x_viewed = x[::every]
        if not len(x_viewed):
            return x_viewed.astype(jnp.float32)
        key_view = jax.random.fold_in(key_views, number)
        at = positions(step, microbatch, sizes.num_microbatches, len(x))[::every]
        keys = jax.vmap(lambda position: jax.random.fold_in(key_view, position))(at)
        return jax.vmap(view)(keys, x_viewed)

    (_, key_labeled), (_, key_unlabeled) = split_keys(key)
    x_density = None
    if sizes.density:
        every = sizes.unlabeled // sizes.density
        x_density = apply(views.density, 1, key_unlabeled, raw.x_unlabeled, every)
    return Batch(
        apply(views.student, 0, key_labeled, raw.x_labeled),
        raw.y,
        apply(views.student, 0, key_unlabeled, raw.x_unlabeled),
        apply(views.teacher, 1, key_unlabeled, raw.x_unlabeled),
        x_density,
    )


def draw_batch(
    pool: Pool,
    key: jax.Array,
    step: jax.Array,
    microbatch: jax.Array,
    sizes: BatchSizes,
    views: Views,
) -> Batch:
    """A microbatch of a step, from a pool on the device, as ``draw_indices`` describes it."""
    indices = draw_indices(pool.labeled, pool.unlabeled, key, step, microbatch, sizes)
    return apply_views(gather(pool, indices), key, step, microbatch, sizes, views)


class Window(NamedTuple):
    """The examples of some consecutive steps, of a device's microbatches.

    Attributes:
      first_step: scalar int32.
      raw: a RawBatch whose arrays have two more axes in front, of microbatches and of steps.
    """

    first_step: jax.Array
    raw: RawBatch


def stream(
    pool: Pool,
    key: jax.Array,
    steps: range,
    microbatches: Sequence[int],
    sizes: BatchSizes,
    prefetch: int,
) -> Iterator[tuple[int, RawBatch]]:
    """Consecutive steps and their examples, a RawBatch of arrays (len(microbatches), b, ...), read
    ahead by threads from a pool on the host, whose memory may be a file.

    Raises:
      InputError: if JAX may not use the CPU, which computes the indices.
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
        draw = partial(draw_indices, labeled, unlabeled, key, step, sizes=sizes)
        return jax.vmap(draw)(np.asarray(microbatches, np.int32))

    def read(step):
        return step, gather(pool, jax.device_get(indices(*on_cpu, step)))

    import grain  # takes long to import, and few runs stream

    options = grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=max(prefetch, THREADS))
    return iter(grain.MapDataset.source(steps).map(read).to_iter_dataset(options))


def next_window(raw_batches: Iterator[tuple[int, RawBatch]], count: int, capacity: int) -> Window:
    """The next ``count`` steps of a ``stream``, distributed over the local devices.

    Missing steps are filled up with zeros to ``capacity``, so that one program serves any number of
    steps.
    """
    steps, raw = zip(*itertools.islice(raw_batches, count), strict=True)

    def stack(*arrays):
        microbatches, *shape = arrays[0].shape
        stacked = np.zeros((microbatches, capacity, *shape), arrays[0].dtype)
        for i, array in enumerate(arrays):
            stacked[:, i] = array
        return stacked

    return Window(
        devices.replicate(np.int32(steps[0])), devices.distribute(jax.tree.map(stack, *raw))
    )


def draw_from_window(
    window: Window,
    key: jax.Array,
    step: jax.Array,
    microbatch: jax.Array,
    sizes: BatchSizes,
    views: Views,
) -> Batch:
    """A microbatch of a step, as ``draw_batch`` gives it, from the window of its device: the k
    microbatches of device i have the numbers i k ... i k + k - 1."""
    raw = jax.tree.map(
        lambda array: array[microbatch % len(array), step - window.first_step], window.raw
    )
    return apply_views(raw, key, step, microbatch, sizes, views)


class BatchSource(NamedTuple):
    """Where the steps get their batches.

    Attributes:
      draw: ``(data, key, step, microbatch) -> Batch``, inside the step.
      next_data: ``(count) -> data`` of the next ``count`` steps, on the local devices.
    """

    draw: Callable[[Any, jax.Array, jax.Array, jax.Array], Batch]
    next_data: Callable[[int], Any]


def make_batches(
    pool: Pool, config: ConfigDict, views: Views, key: jax.Array, first_step: int
) -> BatchSource:
    """Batches from the devices' memory if the examples take at most ``config.data.device_bytes``,
    otherwise from the host's; they are the same. ``key`` is the run's data key."""
    train = config.train
    sizes = BatchSizes(
        train.batch_labeled,
        train.batch_unlabeled,
        train.batch_density,
        train.microbatches or jax.device_count(),
    )
    if pool.x.nbytes <= config.data.device_bytes:
        on_devices = devices.replicate(pool)
        return BatchSource(partial(draw_batch, sizes=sizes, views=views), lambda count: on_devices)

    capacity = train.steps_per_call
    raw_batches = stream(
        pool,
        key,
        range(first_step, train.steps),
        devices.local_microbatches(sizes.num_microbatches),
        sizes,
        prefetch=2 * capacity,
    )
    return BatchSource(
        partial(draw_from_window, sizes=sizes, views=views),
        lambda count: next_window(raw_batches, count, capacity),
    )
