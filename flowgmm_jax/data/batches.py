"""Batches as a function of (seed, step, position of the example) alone.

So a run resumes from its step with no cursor to restore, and any number of devices trains on the
same batches. A batch is drawn in three pure pieces: which examples a step sees
(``draw_indices``), the examples themselves (``gather``), and random views of them (``make_views``).
``draw_batch`` composes them on the device, so that nothing waits for the host; where the examples
do not fit on the device, ``stream`` takes the first two on the host.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.data.augment import View

ROUNDS = 4


class Pool(NamedTuple):
    """A training set, on the device or on the host.

    Attributes:
      x: (N, ...), uint8 images or float vectors.
      y: (N,) int32.
      labeled: (n_l,) int32, indices of the labelled examples.
      unlabeled: (n_u,) int32.
    """

    x: jax.Array | np.ndarray
    y: jax.Array | np.ndarray
    labeled: jax.Array | np.ndarray
    unlabeled: jax.Array | np.ndarray


class Share(NamedTuple):
    """One of the equal parts of every batch, which a device takes at once.

    Attributes:
      shard: scalar int32, its number.
      num_shards: how many there are, a multiple of the number of devices; divides both batch sizes.
    """

    shard: jax.Array | int
    num_shards: int


class Examples(NamedTuple):
    """One share of the examples of a step, as they are stored.

    Attributes:
      x_labeled: (b_l, ...), integers or floats.
      y: (b_l,) int32.
      x_unlabeled: (b_u, ...).
    """

    x_labeled: jax.Array | np.ndarray
    y: jax.Array | np.ndarray
    x_unlabeled: jax.Array | np.ndarray


class Batch(NamedTuple):
    """What a training step sees: B_l labelled and B_u unlabelled examples, dequantised.

    Attributes:
      x_labeled: (B_l, ...) float32.
      y: (B_l,) int32.
      x_unlabeled: (B_u, ...), the student view x'.
      x_teacher: (B_u, ...), the other view x'' of the same examples.
    """

    x_labeled: jax.Array
    y: jax.Array
    x_unlabeled: jax.Array
    x_teacher: jax.Array


def shuffled_index(key: jax.Array, position: jax.Array, n: int) -> jax.Array:
    """The entries ``position`` of an endless sequence of shuffles of range(n).

    Every n consecutive positions from a multiple of n hold each index once. Each entry is computed
    by itself, without the shuffle being stored: a Feistel network permutes the smallest square of a
    power of two that holds n, and is walked until it lands below n (Black & Rogaway 2002, "Ciphers
    with arbitrary finite domains").

    Args:
      key: a PRNG key.
      position: (...,) uint32.
      n: static, at least 1.

    Returns:
      (...,) int32 in [0, n).
    """
    half_bits = max(1, ((n - 1).bit_length() + 1) // 2)
    mask = jnp.uint32((1 << half_bits) - 1)
    position = position.astype(jnp.uint32)
    epoch, slot = position // n, position % n
    round_keys = jax.random.bits(key, (ROUNDS,), jnp.uint32)

    def mix(value):  # the finaliser of MurmurHash3
        value = (value ^ (value >> 16)) * jnp.uint32(0x85EBCA6B)
        value = (value ^ (value >> 13)) * jnp.uint32(0xC2B2AE35)
        return value ^ (value >> 16)

    salt = mix(epoch + jnp.uint32(0x9E3779B9))

    def permute(value):
        left, right = value >> half_bits, value & mask
        for i in range(ROUNDS):
            left, right = right, left ^ (mix(right ^ mix(salt + round_keys[i])) & mask)
        return (left << half_bits) | right

    def walk(value):
        return jnp.where(value < n, value, permute(value))

    index = jax.lax.while_loop(lambda v: jnp.any(v >= n), walk, permute(slot))
    return index.astype(jnp.int32)


def _positions(step: jax.Array, share: Share, size: int) -> jax.Array:
    """Positions in the endless sequence of examples, of the ``size`` of this share of a step."""
    return (step * share.num_shards + share.shard) * size + jnp.arange(size)


def _keys(key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], ...]:
    """Keys of the order and of the views, of labelled and of unlabelled examples."""
    return tuple(tuple(jax.random.split(part)) for part in jax.random.split(key))


def draw_indices(
    labeled: jax.Array,
    unlabeled: jax.Array,
    key: jax.Array,
    step: jax.Array,
    share: Share,
    batch_labeled: int,
    batch_unlabeled: int,
) -> tuple[jax.Array, jax.Array]:
    """Which examples a share of the batch of a step holds.

    Args:
      labeled: (n_l,) int32, indices of the labelled examples.
      unlabeled: (n_u,) int32.
      key: the run's data key.
      step: scalar int32.
      share: whose part of the batch.
      batch_labeled: labelled examples of the whole batch.
      batch_unlabeled: unlabelled ones; may be 0.

    Returns:
      Indices (b_l,) and (b_u,) of the examples at the global positions shard * B / num_shards ...
      of this step.
    """

    def draw(key_order, indices, batch):
        size = batch // share.num_shards
        if not size:
            return indices[:0]
        return indices[shuffled_index(key_order, _positions(step, share, size), len(indices))]

    (order_labeled, _), (order_unlabeled, _) = _keys(key)
    return (
        draw(order_labeled, labeled, batch_labeled),
        draw(order_unlabeled, unlabeled, batch_unlabeled),
    )


def gather(
    x: jax.Array | np.ndarray, y: jax.Array | np.ndarray, indices: tuple[jax.Array, jax.Array]
) -> Examples:
    """The examples of ``draw_indices``, of a training set x (N, ...), y (N,)."""
    labeled, unlabeled = indices
    return Examples(x[labeled], y[labeled], x[unlabeled])


def make_views(
    examples: Examples, key: jax.Array, step: jax.Array, share: Share, student: View, teacher: View
) -> Batch:
    """Random views of a share of the examples of a step.

    Args:
      examples: of ``gather``.
      key: the run's data key.
      step: scalar int32.
      share: whose part of the batch the examples are.
      student: ``(key, x) -> x``, the view of one example that is trained on.
      teacher: the view that gives pseudo-labels.
    """

    def apply(view, number, key_views, x):
        if not len(x):
            return x.astype(jnp.float32)
        key_view = jax.random.fold_in(key_views, number)
        positions = _positions(step, share, len(x))
        keys = jax.vmap(lambda position: jax.random.fold_in(key_view, position))(positions)
        return jax.vmap(view)(keys, x)

    (_, views_labeled), (_, views_unlabeled) = _keys(key)
    return Batch(
        apply(student, 0, views_labeled, examples.x_labeled),
        examples.y,
        apply(student, 0, views_unlabeled, examples.x_unlabeled),
        apply(teacher, 1, views_unlabeled, examples.x_unlabeled),
    )


def draw_batch(
    pool: Pool,
    key: jax.Array,
    step: jax.Array,
    shard: jax.Array,
    num_shards: int,
    batch_labeled: int,
    batch_unlabeled: int,
    student: View,
    teacher: View,
) -> Batch:
    """One share of the batch of a step, from a pool on the device.

    ``num_shards`` divides both batch sizes; the other arguments are those of ``draw_indices`` and
    ``make_views``.
    """
    share = Share(shard, num_shards)
    indices = draw_indices(
        pool.labeled, pool.unlabeled, key, step, share, batch_labeled, batch_unlabeled
    )
    return make_views(gather(pool.x, pool.y, indices), key, step, share, student, teacher)
