"""A cache of decoded examples, so that a second start takes about a second."""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Examples = tuple[np.ndarray, np.ndarray]


def folder() -> Path:
    """The cache folder: `$FLOWGMM_CACHE`, or `~/.cache/flowgmm_jax`."""
    return Path(os.environ.get("FLOWGMM_CACHE") or "~/.cache/flowgmm_jax").expanduser()


def cached(label: str, sources: Sequence[Path], decode: Callable[[], Examples]) -> Examples:
    """Returns decoded examples, from the cache if the source files have not changed.

    A damaged cache file is written anew and an unwritable folder only warned of: the cache
    may cost time, never a run.

    Args:
        label: start of the cache file's name, for people.
        sources: the files that `decode` reads; their paths, sizes and times are the key.
        decode: gives (x, y).

    Returns:
        x and y, as `decode` gave them.
    """
    path = folder() / f"{label}-{_key(sources)}.npz"
    try:
        # Opened here, because numpy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return arrays["x"], arrays["y"]
    except OSError:
        pass  # not there yet, or out of reach: then writing it warns
    except Exception as error:  # a damaged archive can raise almost anything
        warnings.warn(f"{path}: damaged cache file, made anew ({error})", stacklevel=2)
    x, y = decode()
    try:
        _write(path, x, y)
    except OSError as error:
        warnings.warn(f"{path.parent}: cannot cache decoded data ({error})", stacklevel=2)
    return x, y


def _key(sources: Sequence[Path]) -> str:
    stats = [(str(path.resolve()), path.stat()) for path in sources]
    description = "\n".join(f"{name}\t{s.st_size}\t{s.st_mtime_ns}" for name, s in stats)
    return hashlib.blake2b(description.encode(), digest_size=8).hexdigest()


def _write(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renaming is atomic: a run that is killed, or one of two that start together, leaves no
    # half-written file under the final name.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            np.savez(file, x=x, y=y)
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
