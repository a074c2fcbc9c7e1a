"""Which examples a training step sees: a function of (seed, step, position of the example) only.

So a run resumes from its step with no cursor to restore, and any number of devices trains on the
same batches.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from flowgmm_jax.data.splits import Pool

ROUNDS = 4


class BatchSizes(NamedTuple):
    """What the batch of every step is made of.

    Attributes:
      labeled: B_l, labelled examples of the whole batch.
      unlabeled: B_u, unlabelled ones; may be 0.
      density: B_d, unlabelled examples with a view of their own for the density; divides B_u, or 0.
      num_microbatches: equal parts that a batch is taken in, a multiple of the number of devices;
        divides the other three.
    """

    labeled: int
    unlabeled: int
    density: int = 0
    num_microbatches: int = 1


class RawBatch(NamedTuple):
    """The examples of a microbatch as they are stored, before any view of them.

    Attributes:
      x_labeled: (b_l, ...), integers or floats.
      y: (b_l,) int32.
      x_unlabeled: (b_u, ...).
    """

    x_labeled: jax.Array | np.ndarray
    y: jax.Array | np.ndarray
    x_unlabeled: jax.Array | np.ndarray


def shuffled_index(key: jax.Array, position: jax.Array, n: int) -> jax.Array:
    """The entries ``position`` of an endless sequence of shuffles of range(n).

    Every n consecutive positions from a multiple of n hold each index once. Each entry is computed
    by itself, without the shuffle being stored: a Feistel network permutes the smallest square of a
    power of two that holds n, and is walked until it lands below n (Black & Rogaway 2002, "Ciphers
    with arbitrary finite domains"). Positions are (...,) uint32, entries (...,) int32; n is static.
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


def positions(
    step: jax.Array, microbatch: jax.Array, num_microbatches: int, size: int
) -> jax.Array:
    """Positions (size,) of the examples of a microbatch in the endless sequence of examples."""
    return (step * num_microbatches + microbatch) * size + jnp.arange(size)


def split_keys(key: jax.Array) -> tuple[tuple[jax.Array, jax.Array], ...]:
    """Keys of the order and of the views, of labelled and of unlabelled examples."""
    return tuple(tuple(jax.random.split(part)) for part in jax.random.split(key))


def draw_indices(
    labeled: jax.Array,
    unlabeled: jax.Array,
    key: jax.Array,
    step: jax.Array,
    microbatch: jax.Array,
    sizes: BatchSizes,
) -> tuple[jax.Array, jax.Array]:
    """Which examples a microbatch of a step holds.

    Args:
      labeled: (n_l,) int32, indices of the labelled examples.
      unlabeled: (n_u,) int32.
      key: the run's data key.
      step: scalar int32.
      microbatch: scalar int32, its number m.
      sizes: of the whole batch, in M microbatches.

    Returns:
      Indices (b_l,) and (b_u,) of the examples at the positions m b ... m b + b - 1 of the step's
      batch, b = B / M.
    """

    def draw(key_order, indices, batch):
        size = batch // sizes.num_microbatches
        if not size:
            return indices[:0]
        at = positions(step, microbatch, sizes.num_microbatches, size)
        return indices[shuffled_index(key_order, at, len(indices))]

    (order_labeled, _), (order_unlabeled, _) = split_keys(key)
    return (
        draw(order_labeled, labeled, sizes.labeled),
        draw(order_unlabeled, unlabeled, sizes.unlabeled),
    )


def gather(pool: Pool, indices: tuple[jax.Array, jax.Array]) -> RawBatch:
    """The examples of ``draw_indices``."""
    labeled, unlabeled = indices
    return RawBatch(pool.x[labeled], pool.y[labeled], pool.x[unlabeled])
