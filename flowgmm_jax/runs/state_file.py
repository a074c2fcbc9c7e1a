"""A saved state as one file: every leaf's name, dtype, shape and bytes, and a digest of it all.

The first line is JSON: the length and the blake2b digest of the rest, which is msgpack. That format
has maps, texts, numbers and arrays, but nothing that names code, as a pickle does: whoever loads a
file from elsewhere executes nothing of it. No byte is decoded before its digest is found right.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.serialization import msgpack_restore, msgpack_serialize


class Content(NamedTuple):
    """What is saved of a run.

    Attributes:
      state: a pytree of arrays.
      sums: of the metrics since the last row of metrics.jsonl: with them, the rows of a resumed run
        are those of an undisturbed one.
      config: of the run, as JSON.
    """

    state: Any
    sums: dict[str, float]
    config: dict


class Damaged(Exception):
    """A file is not one that was saved of such a state; the message, a clause, says why."""


def write(path: Path, content: Content) -> None:
    """Writes a file and waits until the disk has it.

    Raises:
      OSError: when the disk is full, read-only, ...
    """
    payload = msgpack_serialize(
        {
            "leaves": {name: np.asarray(leaf) for name, leaf in _leaves(content.state).items()},
            "sums": content.sums,
            "config": json.dumps(content.config),
        }
    )
    header = {"bytes": len(payload), "blake2b": hashlib.blake2b(payload).hexdigest()}
    with path.open("wb") as file:
        file.write(json.dumps(header).encode() + b"\n")
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, like: Any) -> Content:
    """The content of a file.

    Args:
      path: of the file.
      like: a state of the wanted structure, shapes and dtypes (``jax.eval_shape`` gives one).

    Raises:
      Damaged: when the bytes are not those that were saved, or are of another kind of state.
      OSError: when the file cannot be read at all.
    """
    with path.open("rb") as file:
        first, payload = file.readline(200), file.read()
    try:
        header = json.loads(first)
        length, digest = header["bytes"], header["blake2b"]
    except (ValueError, TypeError, KeyError):
        raise Damaged(f"{path.name} does not begin with the line of its digest") from None
    if len(payload) != length:
        raise Damaged(f"{path.name} has {len(payload)} of {length} bytes")
    if hashlib.blake2b(payload).hexdigest() != digest:
        raise Damaged(f"the bytes of {path.name} are not those that were saved")
    saved = msgpack_restore(payload)
    leaves, wanted = saved["leaves"], _leaves(like)
    found, expected = _shapes(leaves), _shapes(wanted)
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise Damaged(
                f"it holds {found.get(name, 'nothing')} as {name}, "
                f"not {expected.get(name, 'nothing')}"
            )
    state = jax.tree.unflatten(jax.tree.structure(like), [jnp.asarray(leaves[n]) for n in wanted])
    return Content(state, saved["sums"], json.loads(saved["config"]))


def _leaves(tree: Any) -> dict[str, Any]:
    """The leaves by their names, in the order of the tree."""
    return {
        jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _shapes(leaves: dict[str, Any]) -> dict[str, str]:
    return {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in leaves.items()}
