"""A cache of decoded examples, so that a second start takes about a second.

Examples are written as they are decoded, and many of them are mapped from the cache's file, so that
a set may be larger than memory.
"""

import hashlib
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from flowgmm_jax.data.base import ExamplesAndLabels

Decode = Callable[[], tuple[int, Iterable[ExamplesAndLabels]]]

# Fewer are read, so that a run does not need their file any more.
MAPPED_BYTES = 2**30


def root() -> Path:
    """The folder of all caches: ``$FLOWGMM_CACHE``, or ``~/.cache/flowgmm_jax``."""
    return Path(os.environ.get("FLOWGMM_CACHE") or "~/.cache/flowgmm_jax").expanduser()


def cached(label: str, sources: Sequence[Path], decode: Decode) -> ExamplesAndLabels:
    """Returns decoded examples, from the cache if the source files have not changed.

    A damaged cache is made anew and an unwritable folder only warned of: the cache may cost time
    and memory, never a run.

    Args:
      label: start of the name of the cache's folder, for people.
      sources: the files that ``decode`` reads; their paths, sizes and times are the key.
      decode: gives the number of examples, and blocks (x, y) of them. A large x is then mapped.
    """
    folder = root() / f"{label}-{_key(sources)}"
    try:
        return _read(folder)
    except OSError:
        pass  # not there yet, or out of reach: then writing it warns
    except Exception as error:  # a damaged file can raise almost anything
        warnings.warn(f"{folder}: damaged cache file, made anew ({error})", stacklevel=2)
    try:
        _write(folder, decode)
        return _read(folder)
    except OSError as error:
        warnings.warn(f"{folder.parent}: cannot cache decoded data ({error})", stacklevel=2)
    _, blocks = decode()
    x, y = zip(*blocks, strict=True)
    return np.concatenate(x), np.concatenate(y)


def _key(sources: Sequence[Path]) -> str:
    stats = [(str(path.resolve()), path.stat()) for path in sources]
    description = "\n".join(f"{name}\t{s.st_size}\t{s.st_mtime_ns}" for name, s in stats)
    return hashlib.blake2b(description.encode(), digest_size=8).hexdigest()


def _digest(folder: Path) -> str:
    digests = []
    for name in ("x.npy", "y.npy"):
        with (folder / name).open("rb") as file:
            digests.append(hashlib.file_digest(file, "blake2b").hexdigest()[:32])
    return " ".join(digests)


def _read(folder: Path) -> ExamplesAndLabels:
    if _digest(folder) != (folder / "digest").read_text():
        raise ValueError("its files do not have the digest they were written with")
    mode = "r" if (folder / "x.npy").stat().st_size >= MAPPED_BYTES else None
    # As a plain array, whose examples are faster to iterate over than those of a memmap.
    x = np.asarray(np.load(folder / "x.npy", mmap_mode=mode, allow_pickle=False))
    return x, np.load(folder / "y.npy", allow_pickle=False)


def _write(folder: Path, decode: Decode) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Renaming is atomic: a run that is killed, or one of two that start together, leaves nothing
    # half-written under the final name, and a mapped file never changes.
    with tempfile.TemporaryDirectory(
        dir=folder.parent, suffix=".tmp", ignore_cleanup_errors=True
    ) as temporary:
        written = Path(temporary) / "examples"
        written.mkdir()
        _write_arrays(written, *decode())
        (written / "digest").write_text(_digest(written))
        shutil.rmtree(folder, ignore_errors=True)  # a damaged one
        try:
            written.rename(folder)
        except OSError:
            if not folder.exists():  # otherwise another run has just written the same
                raise


def _write_arrays(folder: Path, size: int, blocks: Iterable[ExamplesAndLabels]) -> None:
    """Writes x.npy and y.npy from blocks (x, y) of ``size`` examples in all."""
    labels = []
    with (folder / "x.npy").open("wb") as file:
        for x, y in blocks:
            if not labels:
                header = np.lib.format.header_data_from_array_1_0(x)
                header |= {"shape": (size, *x.shape[1:]), "fortran_order": False}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(np.ascontiguousarray(x))
            labels.append(y)
    np.save(folder / "y.npy", np.concatenate(labels))
