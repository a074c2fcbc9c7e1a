"""A user's own arrays: one .npz file, or a folder of .npy files, whatever the arrays are called."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flowgmm_jax.errors import InputError, first_line

ROLES = ("x_train", "y_train", "x_test", "y_test")
_KINDS = {
    "x": {"x", "images", "data", "features", "embeddings", "inputs"},
    "y": {"y", "labels", "label", "targets", "target"},
}
_PARTS = {"train": {"train", "training"}, "test": {"test", "testing"}}


class Arrays(NamedTuple):
    """Arrays by what they are for.

    Attributes:
      read: gives the array of one of ``ROLES``; KeyError for one that is not there.
      roles: those that are there.
      unused: names of arrays that are for something else.
    """

    read: Callable[[str], np.ndarray]
    roles: set[str]
    unused: list[str]


def role_of(name: str) -> str | None:
    """What an array is for by its name: X_train and train_images are x_train, x and data too; None
    for another name."""
    words = re.split(r"[\W_]+", name.lower())
    kinds = [kind for kind, known in _KINDS.items() for word in words if word in known]
    parts = [part for part, known in _PARTS.items() for word in words if word in known]
    if len(kinds) != 1 or len(parts) > 1 or len(words) > len(kinds) + len(parts):
        return None
    return f"{kinds[0]}_{parts[0] if parts else 'train'}"


@contextlib.contextmanager
def open_arrays(path: Path) -> Iterator[Arrays]:
    """The arrays of a .npz file, read when they are asked for, or of a folder of .npy files or of
    one of its files, mapped read-only.

    Raises:
      InputError: from the body too, one line that names the file: it cannot be read, an array is
        missing, or two are for the same.
    """
    folder = path.parent if path.suffix == ".npy" else path
    kind = "a folder of .npy files" if folder.is_dir() else "a .npz file with arrays"
    try:
        # Pickled arrays are refused: loading one may run any code.
        if folder.is_dir():
            files = {file.stem: file for file in sorted(folder.glob("*.npy"))}
            yield _by_role(files, lambda name: _map(files[name]))
        else:
            with np.load(path, allow_pickle=False) as archive:
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise ValueError("it is a single array")
                yield _by_role(archive.files, archive.__getitem__)
    except InputError:
        raise
    except Exception as error:  # a damaged file can raise almost anything
        raise InputError(
            f"{path}: expected {kind} x_train, y_train and, both or neither, x_test and y_test "
            f"({first_line(error)})"
        ) from error


def _by_role(names, read: Callable[[str], np.ndarray]) -> Arrays:
    found: dict[str, str] = {}
    for name in names:
        role = role_of(name)
        if role in found:
            raise ValueError(f"{found[role]} and {name} are for the same")
        if role:
            found[role] = name
    unused = sorted(set(names) - set(found.values()))

    def read_role(role):
        if role not in found:
            beside = f", found {', '.join(sorted(names)[:10])}" if names else ""
            raise ValueError(f"no {role!r}{beside}")
        return read(found[role])

    return Arrays(read_role, set(found), unused)


def _map(file: Path) -> np.ndarray:
    # As a plain array, whose examples are faster to iterate over than those of a memmap.
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
