"""A cache of decoded examples, so that a second start takes about a second.

Examples are written as they are decoded, and many of them are mapped from the cache's file, so that
a set may be larger than memory.
"""

import hashlib
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from flowgmm_jax.data import npz

Examples = tuple[np.ndarray, np.ndarray]
Decode = Callable[[], tuple[int, Iterable[Examples]]]


def folder() -> Path:
    """The cache folder: `$FLOWGMM_CACHE`, or `~/.cache/flowgmm_jax`."""
    return Path(os.environ.get("FLOWGMM_CACHE") or "~/.cache/flowgmm_jax").expanduser()


def cached(label: str, sources: Sequence[Path], decode: Decode) -> Examples:
    """Returns decoded examples, from the cache if the source files have not changed.

    A damaged cache file is written anew and an unwritable folder only warned of: the cache
    may cost time and memory, never a run.

    Args:
        label: start of the cache file's name, for people.
        sources: the files that `decode` reads; their paths, sizes and times are the key.
        decode: gives the number of examples, and blocks (x, y) of them.

    Returns:
        x, read-only and mapped from the cache's file if large, and y.
    """
    path = folder() / f"{label}-{_key(sources)}.npz"
    try:
        return _read(path)
    except OSError:
        pass  # not there yet, or out of reach: then writing it warns
    except Exception as error:  # a damaged archive can raise almost anything
        warnings.warn(f"{path}: damaged cache file, made anew ({error})", stacklevel=2)
    try:
        _write(path, decode)
        return _read(path)
    except OSError as error:
        warnings.warn(f"{path.parent}: cannot cache decoded data ({error})", stacklevel=2)
    _, blocks = decode()
    x, y = zip(*blocks, strict=True)
    return np.concatenate(x), np.concatenate(y)


def _read(path: Path) -> Examples:
    # Opened here, because numpy leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return npz.load_array(path, archive, "x"), archive["y"]


def _key(sources: Sequence[Path]) -> str:
    stats = [(str(path.resolve()), path.stat()) for path in sources]
    description = "\n".join(f"{name}\t{s.st_size}\t{s.st_mtime_ns}" for name, s in stats)
    return hashlib.blake2b(description.encode(), digest_size=8).hexdigest()


def _write(path: Path, decode: Decode) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Renaming is atomic: a run that is killed, or one of two that start together, leaves no
    # half-written file under the final name, and a mapped file never changes.
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
        try:
            npz.write_examples(file, *decode())
            file.close()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
