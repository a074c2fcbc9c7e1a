"""Passes over any number of examples: batches of one size, one program, results on the host."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from flowgmm_jax.data.augment import view

BATCH = 250


def batches(*arrays: np.ndarray) -> Iterator[tuple]:
    """(index, mask, *parts) of equal sizes: the last is filled up, so one program serves all."""
    total = len(arrays[0])
    size = min(BATCH, total)
    for start in range(0, total, size):
        index = np.arange(start, start + size)
        yield index, index < total, *(array[index % total] for array in arrays)


def map_batches(
    function: Callable[..., Any], params: Any, *arrays: np.ndarray, description: str
) -> Any:
    """Results of a compiled ``function(params, index, *parts)`` for all examples, on the host.

    Args:
      function: gives a pytree of arrays (B, ...) for a batch; ``index`` (B,) are the positions of
        its examples.
      params: its first argument.
      *arrays: (N, ...), at least one.
      description: of the progress bar.

    Returns:
      The pytree of numpy arrays (N, ...).
    """
    total = len(arrays[0])
    parts = []
    with progress(total, description) as bar:
        for index, mask, *examples in batches(*arrays):
            part = jax.device_get(function(params, index, *examples))
            parts.append(jax.tree.map(lambda a, mask=mask: a[mask], part))
            bar.update(int(mask.sum()))
    return jax.tree.map(lambda *a: np.concatenate(a), *parts)


def progress(total: int, description: str) -> tqdm:
    """A bar over examples, with the time left; silent where nobody watches."""
    return tqdm(total=total, desc=description, unit="example", leave=False, disable=None)


def dequantized(index: jax.Array, x: jax.Array, levels: int) -> jax.Array:
    """x (B, ...) with noise that depends on the position of an example alone, not on the batches;
    vectors, ``levels`` 0, as they are."""
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.asarray(index))
    return jax.vmap(view([], levels))(keys, x)
