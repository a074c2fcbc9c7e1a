"""Choosing examples by their content, so that the choice does not depend on their order."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from flowgmm_jax.errors import InputError


def fingerprints(x: np.ndarray, salt: str, dtype: DTypeLike = np.uint64) -> np.ndarray:
    """Hashes (N,), of an unsigned integer type, of examples (N, ...) of any dtype: a function of
    only each example's bytes and the salt, up to 64 bytes."""
    little_endian = np.dtype(dtype).newbyteorder("<")
    options = {"digest_size": little_endian.itemsize, "key": salt.encode()}
    digests = (hashlib.blake2b(example.tobytes(), **options).digest() for example in x)
    return np.frombuffer(b"".join(digests), little_endian).astype(dtype)


def choose(
    x: np.ndarray, y: np.ndarray, counts: Sequence[int], salt: str, purpose: str
) -> np.ndarray:
    """Chooses examples of each class at random, by content.

    The examples of a class are ranked by their salted hash and the first ones taken, so the
    same images are chosen whatever order they are stored in.

    Args:
      x: (N, ...) examples.
      y: int (N,), the class of each example; examples with a negative label are never chosen.
      counts: how many to choose of class 0, 1, ...
      salt: another salt gives another choice.
      purpose: what the examples are for, as it should appear in the error message.

    Returns:
      int64 sorted indices into ``x``, sum(counts) of them.

    Raises:
      InputError: a class has fewer examples than its count.
    """
    rank = fingerprints(x, salt)
    chosen = [np.empty(0, np.int64)]
    for label, count in enumerate(counts):
        members = np.flatnonzero(y == label)
        if count > len(members):
            raise InputError(
                f"{purpose}: class {label} has {len(members)} examples to choose from, "
                f"{count} are needed"
            )
        chosen.append(members[np.argsort(rank[members], kind="stable")[:count]])
    return np.sort(np.concatenate(chosen))
