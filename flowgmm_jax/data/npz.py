"""Arrays in .npz files: the large ones mapped instead of read, and written block by block.

An uncompressed member of the archive is a .npy file at some offset of it, which can be mapped like
a file of its own. Nothing is ever unpickled.
"""

import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib.npyio import NpzFile

from flowgmm_jax.data.base import BLOCK_BYTES

# Smaller arrays are read: their file may then change, or shrink, while they are in use.
MAPPED_BYTES = 2**30

# Of the local header of a member: its size without name and extra field, where their lengths are.
_HEADER_SIZE, _LENGTHS = 30, slice(26, 30)


def read_header(member: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran order, and dtype; reads up to the first entry of the array."""
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    return read[np.lib.format.read_magic(member)](member)


def load_array(path: Path, archive: NpzFile, name: str) -> np.ndarray:
    """A member of an archive, mapped read-only if it is uncompressed and large.

    Its checksum is compared in either case.

    Args:
        path: the file, which must not be written to while a mapped array is in use.
        archive: of that file, opened with ``allow_pickle=False``.
        name: of the array.

    Raises:
        Exception: of a damaged archive, of almost any type.
    """
    if name not in archive:
        return archive[name]  # its error names the file and the array
    info = archive.zip.getinfo(f"{name}.npy")
    if info.file_size < MAPPED_BYTES or info.compress_type != zipfile.ZIP_STORED:
        return archive[name]
    with archive.zip.open(info) as member:
        shape, is_fortran, dtype = read_header(member)
        if dtype.hasobject:
            return archive[name]  # which refuses to unpickle it
        offset = member.tell()
        while member.read(BLOCK_BYTES):
            pass  # at the end of the member, zipfile compares its checksum
    with path.open("rb") as file:
        file.seek(info.header_offset)
        offset += info.header_offset + _HEADER_SIZE
        offset += sum(struct.unpack("<HH", file.read(_HEADER_SIZE)[_LENGTHS]))
    mapped = np.memmap(path, dtype, "r", offset, shape, "F" if is_fortran else "C")
    return np.asarray(mapped)  # of the plain type, whose examples are faster to iterate over


def write_examples(
    file: IO[bytes], size: int, blocks: Iterable[tuple[np.ndarray, np.ndarray]]
) -> None:
    """Writes arrays x and y to an uncompressed archive, from blocks (x, y) of ``size`` in all."""
    labels = []
    with zipfile.ZipFile(file, "w") as archive:
        with archive.open("x.npy", "w", force_zip64=True) as member:
            for x, y in blocks:
                if not labels:
                    header = np.lib.format.header_data_from_array_1_0(x)
                    header |= {"shape": (size, *x.shape[1:]), "fortran_order": False}
                    np.lib.format.write_array_header_1_0(member, header)
                member.write(np.ascontiguousarray(x))
                labels.append(y)
        with archive.open("y.npy", "w", force_zip64=True) as member:
            np.lib.format.write_array(member, np.concatenate(labels), allow_pickle=False)
