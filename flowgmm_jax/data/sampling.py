"""Batches drawn on the device, as a function of (seed, step, position of the example) alone.

So nothing waits for the host, a run resumes from its step with no cursor to restore, and any number
of devices trains on the same batches.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from flowgmm_jax.data.augment import View

ROUNDS = 4


class Pool(NamedTuple):
    """A training set on the device.

    Attributes:
      x: (N, ...), uint8 images or float vectors.
      y: (N,) int32.
      labeled: (n_l,) int32, indices of the labelled examples.
      unlabeled: (n_u,) int32.
    """

    x: jax.Array
    y: jax.Array
    labeled: jax.Array
    unlabeled: jax.Array


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
    """One device's share of the batch of a step.

    Args:
      pool: the training set.
      key: the run's data key.
      step: scalar int32.
      shard: scalar int32, this device's number.
      num_shards: number of devices; divides both batch sizes.
      batch_labeled: labelled examples of the whole batch.
      batch_unlabeled: unlabelled ones; may be 0.
      student: ``(key, x) -> x``, the view of one example that is trained on.
      teacher: the view that gives pseudo-labels.

    Returns:
      The Batch of the examples at global positions shard * B / num_shards ... of this step.
    """
    key_labeled, key_unlabeled = jax.random.split(key)

    def draw(key, indices, batch, views: list[Callable]):
        key_order, key_views = jax.random.split(key)
        size = batch // num_shards
        position = step * batch + shard * size + jnp.arange(size)
        if not size:
            return indices[:0], [pool.x[:0].astype(jnp.float32) for _ in views]
        index = indices[shuffled_index(key_order, position, len(indices))]
        keys = [
            jax.vmap(lambda p, i=i: jax.random.fold_in(jax.random.fold_in(key_views, i), p))(
                position
            )
            for i in range(len(views))
        ]
        return index, [
            jax.vmap(view)(k, pool.x[index]) for view, k in zip(views, keys, strict=True)
        ]

    labeled, (x_labeled,) = draw(key_labeled, pool.labeled, batch_labeled, [student])
    _, (x_unlabeled, x_teacher) = draw(
        key_unlabeled, pool.unlabeled, batch_unlabeled, [student, teacher]
    )
    return Batch(x_labeled, pool.y[labeled], x_unlabeled, x_teacher)
