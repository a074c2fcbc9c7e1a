"""A user's own data: arrays in one .npz file or in a folder of .npy files, or a folder of images.

If no test set is given, a fixed fifth of every class is held out, chosen by content.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from flowgmm_jax.data import cache, hashing
from flowgmm_jax.data.base import Dataset, ExamplesAndLabels, Info
from flowgmm_jax.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")

_UNLABELED = "unlabeled"

_SUFFIXES = (".png", ".jpg", ".jpeg")
_READ_AT_ONCE = 100
# Other modes (16 bit, CMYK, ...) have no faithful conversion to 8-bit grey or RGB.
_CHANNELS_OF_MODE = {"1": "L", "L": "L", "LA": "L", "P": "RGB", "RGB": "RGB", "RGBA": "RGB"}


# ------------------------------------------------------------------------------ arrays


def npz_info(path: str) -> Info:
    """Facts about the arrays that ``load_npz`` takes, from those for training; the same errors."""
    with _open_arrays(path) as arrays:
        x_train, y_train = arrays["x_train"], arrays["y_train"]
    _check_examples(path, "x_train", x_train.shape, x_train.dtype)
    return _npz_info(path, x_train.shape, _labels(path, "y_train", y_train, len(x_train)))


def load_npz(path: str) -> Dataset:
    """Loads arrays from a .npz file, or from a folder of .npy files.

    Args:
      path: a file with ``x_train``, ``y_train`` and, unless a fifth shall be held out, ``x_test``
        and ``y_test``; or a folder with ``x_train.npy`` and so on. Images are uint8 (N, H, W) or
        (N, H, W, C), vectors float (N, D); labels are integers 0..K-1, and -1 if a training label
        is unknown. A .npz file is read into memory. The files of a folder are mapped: they need not
        fit in memory if they are uint8 or float32 and there is a test set, and must not change in a
        run.

    Raises:
      FileNotFoundError: there is no such file or folder.
      InputError: it cannot be read, or holds something else than the above.
    """
    with _open_arrays(path) as arrays:
        x_train, y_train = arrays["x_train"], arrays["y_train"]
        has_test = "x_test" in arrays or "y_test" in arrays
        if has_test:
            x_test, y_test = arrays["x_test"], arrays["y_test"]
    x_train = _examples(path, "x_train", x_train)
    y_train = _labels(path, "y_train", y_train, len(x_train))
    info = _npz_info(path, x_train.shape, y_train)
    if not has_test:
        return _hold_out(path, x_train, y_train, info)
    x_test = _examples(path, "x_test", x_test)
    y_test = _labels(path, "y_test", y_test, len(x_test))
    return Dataset(x_train, y_train, x_test, y_test, info)


@contextlib.contextmanager
def _open_arrays(path: str) -> Iterator[Mapping[str, np.ndarray]]:
    """The arrays of a .npz file, read when they are looked up, or of a folder, mapped read-only."""
    root = Path(path).expanduser()
    if not path or not root.exists():
        raise FileNotFoundError(
            f"config.data.data_dir={path!r}: no such file; expected a .npz file, or a folder of "
            ".npy files"
        )
    kind = "a folder of .npy files" if root.is_dir() else "a .npz file with arrays"
    try:
        # Pickled arrays are refused: loading one may run any code.
        if root.is_dir():
            files = (root / f"{name}.npy" for name in _ARRAYS)
            # As plain arrays, whose examples are faster to iterate over than those of a memmap.
            yield {
                file.stem: np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
                for file in files
                if file.exists()
            }
        else:
            with np.load(root, allow_pickle=False) as archive:
                yield archive
    except Exception as error:  # a damaged file can raise almost anything
        raise InputError(
            f"{path}: expected {kind} x_train, y_train and, both or neither, x_test and y_test "
            f"({error})"
        ) from error


def _check_examples(path: str, field: str, shape: tuple[int, ...], dtype: np.dtype) -> None:
    is_images = dtype == np.uint8 and len(shape) in (3, 4)
    is_vectors = np.issubdtype(dtype, np.floating) and len(shape) == 2
    if not (is_images or is_vectors):
        raise InputError(
            f"{path}: {field} is {dtype} {shape}; expected uint8 images (N, H, W) or "
            "(N, H, W, C), or float vectors (N, D)"
        )


def _examples(path: str, field: str, x: np.ndarray) -> np.ndarray:
    _check_examples(path, field, x.shape, x.dtype)
    if x.dtype != np.uint8:
        return x.astype(np.float32, copy=False)
    return x if x.ndim == 4 else x[..., None]


def _labels(path: str, field: str, y: np.ndarray, size: int) -> np.ndarray:
    if y.shape != (size,) or not np.issubdtype(y.dtype, np.integer):
        raise InputError(f"{path}: {field} is {y.dtype} {y.shape}; expected integers ({size},)")
    return y.astype(np.int32)


def _npz_info(path: str, shape: tuple[int, ...], y_train: np.ndarray) -> Info:
    num_classes = int(y_train.max(initial=-1)) + 1
    if not num_classes:
        raise InputError(f"{path}: y_train has no known label; expected some of 0..K-1")
    if len(shape) == 2:
        return Info((shape[1],), num_classes, levels=0)
    return Info((*shape[1:], 1)[:3], num_classes, levels=256)


# ------------------------------------------------------------------------- image folders


def folder_info(data_dir: str) -> Info:
    """Facts about a folder that ``load_folder`` takes, from its subfolders and the first image; the
    same errors."""
    train, _ = _train_and_test(data_dir)
    classes = _class_names(train)
    with _open(_list_images(train, classes)[0][0]) as image:
        channels = len(image.getbands())
        return Info((image.height, image.width, channels), len(classes), levels=256)


def load_folder(data_dir: str) -> Dataset:
    """Loads a folder of .png or .jpg images, one subfolder for each class.

    Args:
      data_dir: holds ``train/<class>/*``, optionally ``train/unlabeled/*`` and
        ``test/<class>/*``; or ``<class>/*`` directly. Without ``test``, a fifth is held out.
        Classes are numbered in the order of their names. Images are all grey or all in
        colour, and of one size.

    Raises:
      FileNotFoundError: the folder, its classes or their images are missing.
      InputError: an image cannot be read, or differs from the first in size or channels.
    """
    info = folder_info(data_dir)
    train, test = _train_and_test(data_dir)
    classes = _class_names(train)
    x_train, y_train = _load_images(train, classes, info)
    if test is None:
        return _hold_out(data_dir, x_train, y_train, info)
    if strangers := sorted(set(_class_names(test)) - set(classes)):
        raise InputError(f"{test / strangers[0]}: no such class in {train}")
    return Dataset(x_train, y_train, *_load_images(test, classes, info), info)


def _train_and_test(data_dir: str) -> tuple[Path, Path | None]:
    root = Path(data_dir).expanduser()
    if not data_dir or not root.is_dir():
        raise FileNotFoundError(
            f"config.data.data_dir={data_dir!r}: no such folder; expected a folder of images"
        )
    train, test = root / "train", root / "test"
    if not train.is_dir():
        return root, None
    return train, test if test.is_dir() else None


def _class_names(folder: Path) -> list[str]:
    names = sorted(
        path.name
        for path in folder.iterdir()
        if path.is_dir() and path.name != _UNLABELED and not path.name.startswith(".")
    )
    if not names:
        raise FileNotFoundError(f"{folder}: no subfolders; expected one for each class")
    return names


def _list_images(folder: Path, classes: Sequence[str]) -> list[tuple[Path, int]]:
    """Paths and labels: class by class, the unlabelled ones last."""
    images = [
        (path, label)
        for name, label in [*zip(classes, range(len(classes)), strict=True), (_UNLABELED, -1)]
        for path in sorted((folder / name).glob("*"))
        if path.suffix.lower() in _SUFFIXES
    ]
    if not images:
        raise FileNotFoundError(f"{folder}: no images; expected <class>/*.png or *.jpg")
    return images


def _load_images(folder: Path, classes: Sequence[str], info: Info) -> ExamplesAndLabels:
    paths, labels = zip(*_list_images(folder, classes), strict=True)
    y = np.array(labels, np.int32)

    def blocks() -> Iterator[ExamplesAndLabels]:
        with tqdm(
            total=len(y), desc=f"decoding {folder.name}", unit=" images", disable=None
        ) as bar:
            for start in range(0, len(y), _READ_AT_ONCE):
                part = slice(start, start + _READ_AT_ONCE)
                x = np.stack([_pixels(path, info) for path in paths[part]])
                bar.update(len(x))
                yield x, y[part]

    # The cached labels may be out of date: a new class elsewhere changes the numbers of others.
    x, _ = cache.cached(f"folder-{folder.name}", paths, lambda: (len(y), blocks()))
    return x, y


def _pixels(path: Path, info: Info) -> np.ndarray:
    with _open(path) as image:
        pixels = np.asarray(image)
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    if pixels.shape != info.shape:
        raise InputError(
            f"{path}: image is {pixels.shape}; expected (H, W, C) = {info.shape} as the first one"
        )
    return pixels


def _open(path: Path) -> "Image.Image":
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode not in _CHANNELS_OF_MODE:
                raise ValueError(f"mode {image.mode}; expected 8-bit grey or RGB")
            return image.convert(_CHANNELS_OF_MODE[image.mode])
    except (OSError, ValueError, SyntaxError) as error:  # Pillow's errors for damaged files
        raise InputError(f"{path}: cannot be read as an image ({error})") from error


# ----------------------------------------------------------------------------- held out


def _hold_out(source: str, x: np.ndarray, y: np.ndarray, info: Info) -> Dataset:
    counts = np.bincount(y[y >= 0], minlength=info.num_classes) // 5
    if not counts.any():
        raise InputError(
            f"{source}: no test set, and no class has the 5 labelled examples that are needed "
            "to hold out a fifth"
        )
    test = hashing.choose(x, y, counts, salt="test", purpose=source)
    train = np.setdiff1d(np.arange(len(y)), test)
    return Dataset(x[train], y[train], x[test], y[test], info)
