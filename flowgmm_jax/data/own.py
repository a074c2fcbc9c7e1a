"""A user's own data as a ``Dataset``: read, labels as classes, a test set, the preprocessing.

If no test set is given, a fixed fifth of every class is held out, chosen by content.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from flowgmm_jax.data import cache, folders, hashing, labels, preprocessing, tables
from flowgmm_jax.data.arrays import open_arrays
from flowgmm_jax.data.base import Dataset, ExamplesAndLabels, Info, Source, blocks
from flowgmm_jax.data.columns import Column, features_of, filled, fit_fill, notes_on
from flowgmm_jax.data.preprocessing import Preprocessing
from flowgmm_jax.errors import InputError


class Raw(NamedTuple):
    """What files hold.

    Attributes:
      train: examples (N, ...) and their labels, as they are.
      test: likewise, or None.
      columns: of a table, whose examples are codes (N, C), see ``columns``; () of arrays.
      notes: what was left out.
    """

    train: ExamplesAndLabels
    test: ExamplesAndLabels | None
    columns: tuple[Column, ...]
    notes: Sequence[str]


# ------------------------------------------------------------------ arrays and tables


def file_info(data: ConfigDict) -> Info:
    """Facts about what ``load_file`` takes, from what is for training; the same errors."""
    raw = _read(data, with_test=False)
    x, y = raw.train
    what = data.data_dir
    _check_kind(what, "x_train", x)
    _, names = labels.encode(y, len(x), f"{what}: y_train")
    if raw.columns:
        return Info((len(_feature_names(raw.columns)),), len(names), 0)
    return Info(_shape(x, f"{what}: x_train"), len(names), 256 if x.ndim > 2 else 0)


def load_file(data: ConfigDict) -> Dataset:
    """Loads arrays or a table.

    Args:
      data: ``config.data``. ``data_dir`` is a .npz file, a folder of .npy files, a .csv, .tsv or
        .parquet file, or a folder with train.csv (or .tsv, .parquet) and, if there is a test set,
        test.csv. A .npz file and tables are read into memory. The .npy files are mapped: they need
        not fit in memory if they are uint8 images, or vectors, which are then standardised into the
        cache, and if there is a test set; they must not change in a run.

    Raises:
      FileNotFoundError: there is no such file or folder.
      InputError: it cannot be read, or holds something else than docs/data.md says.
    """
    raw, what = _read(data, with_test=True), data.data_dir
    x, y = raw.train
    _check_kind(what, "x_train", x)
    _shape(x, f"{what}: x_train")  # refuses what can be read in two ways
    _check_finite(x, raw.columns, f"{what}: x_train")
    y, names = labels.encode(y, len(x), f"{what}: y_train")
    if raw.test is None:
        x, y, x_test, y_test = _hold_out(what, x, y, names)
    else:
        x_test, y_test = raw.test
        _check_kind(what, "x_test", x_test)
        if not raw.columns:  # those of a table: in _as_features
            preprocessing.check_finite(x_test, f"{what}: x_test")
        y_test, _ = labels.encode(y_test, len(x_test), f"{what}: y_test", names)
        if x.shape[1:] != x_test.shape[1:] or not len(x_test):
            expected = ", ".join(map(str, x.shape[1:]))
            raise InputError(
                f"{what}: x_test is {x_test.dtype} {x_test.shape}; expected (N, {expected})"
            )
    if raw.columns:
        raw, x, x_test = _as_features(what, raw, x, x_test)
    return _preprocessed(what, raw, names, (x, y, x_test, y_test), partial(_standardised, data))


def of_arrays(x: np.ndarray, y: np.ndarray, what: str) -> Dataset:
    """A data set of arrays in memory, without test examples.

    Args:
      x: images or vectors (N, ...), as ``load_file`` takes them.
      y: (N,) labels, likewise.
      what: names the arrays in messages.

    Raises:
      InputError: for arrays that hold something else than docs/data.md says.
    """
    _check_kind(what, "x", x)
    preprocessing.check_finite(x, f"{what}: x")
    y, names = labels.encode(y, len(x), f"{what}: y")
    # The test set must have an example to be preprocessed.
    parts, raw = (x, y, x[:1], y[:1]), Raw((x, y), None, (), ())
    dataset = _preprocessed(
        what, raw, names, parts, lambda x, fitted, role: preprocessing.standardised(x, fitted)
    )
    return dataset._replace(x_test=dataset.x_test[:0], y_test=y[:0])


def _preprocessed(
    what: str, raw: Raw, names: tuple[str, ...], parts, standardise: Callable
) -> Dataset:
    """The data set of ``parts``, x and y of training and test; ``standardise`` is a function
    ``(x, preprocessing, role) -> x`` of vectors."""
    x, y, x_test, y_test = parts
    if x.ndim == 2:
        return _vectors(what, raw, names, parts, standardise)
    of_images = preprocessing.fit_images(x, f"{what}: x_train")
    low, high = preprocessing.value_range(x)
    x, x_test = (
        preprocessing.levels_of(part, of_images, f"{what}: {role}")
        for role, part in (("x_train", x), ("x_test", x_test))
    )
    source = Source(names, of_images, str(raw.train[0].dtype), low, high, (), tuple(raw.notes))
    return Dataset(x, y, x_test, y_test, Info(x.shape[1:], len(names), 256), source)


def _read(data: ConfigDict, with_test: bool) -> Raw:
    path = Path(data.data_dir).expanduser()
    if not data.data_dir or not path.exists():
        raise FileNotFoundError(
            f"config.data.data_dir={data.data_dir!r}: no such file; expected a .npz or .csv file, "
            "or a folder of .npy files"
        )
    if data.get("image_size"):
        raise InputError(
            f"config.data.image_size is {data.image_size}, expected 0: only images of a folder, "
            "config.data.name=folder, are scaled"
        )
    if path.suffix in tables.SUFFIXES or _tables_in(path, "train"):
        return _read_tables(path, data.get("label", ""), with_test)
    if data.get("label"):
        raise InputError(f"config.data.label is {data.label!r}, expected '': {path} is no table")
    with open_arrays(path) as arrays:
        train = arrays.read("x_train"), arrays.read("y_train")
        has_test = bool({"x_test", "y_test"} & arrays.roles)
        test = (arrays.read("x_test"), arrays.read("y_test")) if has_test and with_test else None
        return Raw(train, test, (), [f"array {name}" for name in arrays.unused])


def _read_tables(path: Path, label: str, with_test: bool) -> Raw:
    if not path.is_dir():
        table = tables.read_table(path, label)
        return Raw((table.codes, table.y), None, table.columns, table.notes)
    parts = {part: _tables_in(path, part) for part in ("train", "test")}
    for part, files in parts.items():
        if len(files) > 1:
            found = ", ".join(file.name for file in files)
            raise InputError(f"{path} holds {found}: expected one table for {part}")
    train, test = tables.read_table(*parts["train"], label), None
    if parts["test"] and with_test:
        read = tables.read_table(*parts["test"], label, train.columns)
        test = read.codes, read.y
    return Raw((train.codes, train.y), test, train.columns, train.notes)


def _tables_in(folder: Path, part: str) -> list[Path]:
    files = [folder / f"{part}{suffix}" for suffix in tables.SUFFIXES]
    return [file for file in files if file.exists()]


def _feature_names(columns: Sequence[Column]) -> list[str]:
    return [name for column in columns for name in column.features]


def _check_finite(x: np.ndarray, columns: Sequence[Column], what: str) -> None:
    """Checks for values that are not finite; those of a table may be missing."""
    preprocessing.check_finite(np.where(np.isnan(x), 0, x) if columns else x, what)


def _as_features(
    what: str, raw: Raw, codes: np.ndarray, test: np.ndarray
) -> tuple[Raw, np.ndarray, np.ndarray]:
    """Features of the codes of training and test rows, missing ones filled in as training rows say,
    with their columns and notes."""
    columns = fit_fill(codes, raw.columns)
    notes = [*raw.notes, *notes_on(codes, columns)]
    test = filled(test, columns)
    for column, is_odd in zip(columns, ~np.isfinite(test).T, strict=True):
        if is_odd.any():
            raise InputError(
                f"{what}: column {column.name!r} has {is_odd.sum()} values in the test set that "
                "are infinite, words that no training row has, or missing, which none is in "
                f"training, the first in row {np.argmax(is_odd) + 1}: fill or drop them"
            )
    x, x_test = (features_of(part, columns) for part in (filled(codes, columns), test))
    return raw._replace(columns=columns, notes=notes), x, x_test


def _check_kind(what: str, role: str, x: np.ndarray) -> None:
    is_vectors = x.ndim == 2 and x.dtype.kind in "fiub" and x.shape[1]
    is_images = x.ndim in (3, 4) and x.dtype.kind in "fiub" and np.prod(x.shape[1:])
    if not len(x.shape) or not len(x) or not (is_vectors or is_images):
        raise InputError(
            f"{what}: {role} is {x.dtype} {x.shape}; expected images (N, H, W) or (N, H, W, C), "
            "of grey levels 0 to 255 or values in [0, 1], or vectors (N, D) of numbers"
        )


def _shape(x: np.ndarray, what: str) -> tuple[int, ...]:
    """Shape of an example as the model sees it."""
    if x.ndim == 2:
        return x.shape[1:]
    if preprocessing.are_channels_first(x.shape, what):
        return (*x.shape[2:], x.shape[1])
    return (*x.shape[1:], 1)[:3]


def _vectors(what: str, raw: Raw, names: tuple[str, ...], parts, standardise: Callable) -> Dataset:
    x, y, x_test, y_test = parts
    what = f"{what}: x_train"
    columns = preprocessing.fit_columns(x)
    fitted = Preprocessing(
        tuple(columns.centre.tolist()), tuple(columns.scale.tolist()), columns=raw.columns
    )
    of_columns = _feature_names(raw.columns) or [str(i) for i in range(x.shape[1])]
    notes = [*raw.notes, *preprocessing.check_kept(x, fitted, of_columns, what)]
    constant = tuple(of_columns[i] for i in np.flatnonzero(columns.low == columns.high))
    if len(constant) == x.shape[1]:
        raise InputError(f"{what}: all columns are constant, expected some that vary")
    source = Source(
        names,
        fitted,
        str(raw.train[0].dtype),
        float(columns.low.min()),
        float(columns.high.max()),
        constant,
        tuple(notes),
    )
    x, x_test = (
        standardise(part, fitted, role) for role, part in (("x_train", x), ("x_test", x_test))
    )
    return Dataset(x, y, x_test, y_test, Info(x.shape[1:], len(names), 0), source)


def _standardised(data: ConfigDict, x: np.ndarray, fitted: Preprocessing, role: str) -> np.ndarray:
    if x.nbytes < cache.MAPPED_BYTES:
        return preprocessing.standardised(x, fitted)
    y = np.zeros(len(x), np.int32)
    parts = (preprocessing.standardised(block, fitted) for block in blocks(x))
    files = sorted(Path(data.data_dir).expanduser().glob("*"))
    return cache.cached(
        f"vectors-{role}",
        files,
        lambda: (len(x), ((part, y[: len(part)]) for part in parts)),
    )[0]


# ------------------------------------------------------------------------- image folders


def folder_info(data: ConfigDict) -> Info:
    """Facts about a folder that ``load_folder`` takes, from the names of its files and the first
    image; the same errors."""
    train, _ = folders.list_set(data.data_dir)
    return folders.first_info(train, data.get("image_size", 0))


def load_folder(data: ConfigDict) -> Dataset:
    """Loads a folder of images, one subfolder for each class; see ``folders.list_set``.

    Raises:
      FileNotFoundError: the folder, its classes or their images are missing.
      InputError: a folder or an image that cannot be taken, in one line that names it.
    """
    size = data.get("image_size", 0)
    train, test = folders.list_set(data.data_dir)
    info, names = folders.first_info(train, size), tuple(train.classes)
    x, y = folders.read_images(train, info, size)
    if test is None:
        x, y, x_test, y_test = _hold_out(data.data_dir, x, y, names)
    else:
        x_test, y_test = folders.read_images(test, info, size)
    notes = (*train.skipped, *(test.skipped if test else ()))
    low, high = preprocessing.value_range(x)
    source = Source(names, Preprocessing(image_size=size), "uint8", low, high, (), notes)
    return Dataset(x, y, x_test, y_test, info, source)


# ----------------------------------------------------------------------------- held out


def _hold_out(what: str, x: np.ndarray, y: np.ndarray, names: Sequence[str]):
    counts = np.bincount(y[y >= 0], minlength=len(names)) // 5
    if not counts.any():
        raise InputError(
            f"{what}: no test set, and no class has the 5 labelled examples that are needed "
            "to hold out a fifth"
        )
    test = hashing.choose(x, y, counts, salt="test", purpose=what)
    train = np.setdiff1d(np.arange(len(y)), test)
    return x[train], y[train], x[test], y[test]
