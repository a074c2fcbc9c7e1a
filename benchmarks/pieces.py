"""A tar file in pieces, for ways that carry only small files: ``cat NAME.tar.* | tar x``."""

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

from flowgmm_jax.errors import InputError

MEGABYTE = 10**6


class _Pieces:
    """What ``tarfile`` writes to: NAME.tar.000, NAME.tar.001 and so on."""

    def __init__(self, folder: Path, name: str, most: int):
        self._folder, self._name, self._most = folder, name, most
        self.paths: list[Path] = []
        self._room = 0

    def write(self, content: bytes) -> int:
        left = memoryview(content)
        while left:
            if not self._room:
                self.paths.append(self._folder / f"{self._name}.tar.{len(self.paths):03d}")
                self.paths[-1].touch(exist_ok=False)
                self._room = self._most
            part, left = left[: self._room], left[self._room :]
            with self.paths[-1].open("ab") as file:
                file.write(part)
            self._room -= len(part)
        return len(content)


def write(folder: Path, name: str, files: Iterable[tuple[Path, str]], most: int) -> list[Path]:
    """Writes files, each with the name that it has in the tar, in pieces of at most ``most`` bytes.

    Returns:
      The pieces, in their order.

    Raises:
      OSError: if a piece exists or cannot be written.
    """
    pieces = _Pieces(folder, name, most)
    with tarfile.open(fileobj=pieces, mode="w|") as tar:
        for path, inside in files:
            tar.add(path, inside, recursive=False)
    return pieces.paths


def read(folder: Path, name: str, target: Path) -> None:
    """Unpacks the pieces of ``write`` in memory; so for what is small.

    Raises:
      InputError: if there are none, or if they are no tar.
    """
    paths = sorted(folder.glob(f"{name}.tar.*"))
    expected = [f"{name}.tar.{number:03d}" for number in range(len(paths) or 1)]
    if missing := sorted(set(expected) - {path.name for path in paths}):
        raise InputError(f"{folder} holds no {missing[0]}: expected all pieces of {name}.tar")
    content = io.BytesIO(b"".join(path.read_bytes() for path in paths))
    try:
        with tarfile.open(fileobj=content) as tar:
            tar.extractall(target, filter="data")
    except tarfile.TarError as error:
        raise InputError(
            f"{folder}: {name}.tar, in {len(paths)} pieces, is damaged or has more ({error})"
        ) from error
