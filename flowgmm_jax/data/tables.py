"""A user's own table: a .csv, .tsv or .parquet file with one row for each example."""

import csv
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flowgmm_jax.data.columns import Column, codes_of, kinds_of
from flowgmm_jax.errors import InputError, first_line

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".parquet")
_LABELS = ("label", "labels", "class", "target", "y")
_MISSING = ["", "?", "NA", "N/A", "n/a", "nan", "NaN", "null", "NULL", "None", "<NA>", "#N/A"]
_WHOLE = re.compile(r"(-1|0|[1-9]\d{0,17})(\.0+)?")


class Table(NamedTuple):
    """The columns of a file.

    Attributes:
      codes: (N, C) float64, see ``columns``.
      y: (N,), integers or words.
      columns: the C columns beside the class.
      notes: what was left out.
    """

    codes: np.ndarray
    y: np.ndarray
    columns: tuple[Column, ...]
    notes: list[str]


def read_table(path: Path, label: str, columns: Sequence[Column] | None = None) -> Table:
    """Reads a table for training or test.

    Args:
      path: of the file; .tsv is divided by tabs, .csv by commas, and its first row names the
        columns.
      label: name of the column of the class; empty: the one that is called label, class, target or
        y.
      columns: of the training table, if this is the test table.

    Raises:
      InputError: one line that names the file and what is wrong with it.
    """
    frame = read_frame(path, label, has_class=True)
    y = _labels_of(frame.pop(_label_column(path, list(frame.columns), label)))
    notes = []
    first = frame.columns[0] if len(frame.columns) else ""
    if str(first).startswith("Unnamed:") and np.array_equal(frame[first], np.arange(len(frame))):
        notes.append(f"{path.name}: the first column, numbers of rows")
        frame = frame.drop(columns=first)
    if not len(frame.columns) or not len(frame):
        raise InputError(f"{path} has {len(frame)} rows of {len(frame.columns)} numbers")
    if columns is None:
        columns = tuple(
            Column(name, kinds_of(frame[name], f"{path}: column {name!r}"))
            for name in frame.columns
        )
    elif [column.name for column in columns] != list(frame.columns):
        expected = [column.name for column in columns]
        odd = sorted(set(frame.columns) ^ set(expected)) or ["their order"]
        raise InputError(
            f"{path}: its columns are not those of the training table, see {', '.join(odd[:5])}"
        )
    return Table(codes(frame, columns), y, columns, notes)


def codes(frame: "pd.DataFrame", columns: Sequence[Column]) -> np.ndarray:
    """Codes (N, C) of the columns of a frame, which has all of them."""
    return np.stack([codes_of(frame[column.name], column) for column in columns], axis=1)


def read_frame(path: Path, label: str = "", has_class: bool = False) -> "pd.DataFrame":
    """The columns of a file by their names.

    Args:
      path: as for ``read_table``.
      label: likewise.
      has_class: whether there must be a column of the class, which is then read as it is written.

    Raises:
      InputError: one line that names the file and what is wrong with it.
    """
    import pandas as pd  # takes long to import

    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path).rename(columns=lambda name: str(name).strip())
            frame = frame.reset_index(drop=True)
        else:
            frame = _read_text(path, label, has_class)
    except InputError:
        raise
    except Exception as error:  # of pandas, or of the bytes of the file
        raise InputError(f"{path}: cannot be read as a table ({first_line(error)})") from error
    if twice := frame.columns[frame.columns.duplicated()].tolist():
        raise InputError(f"{path}: two columns are called {twice[0]!r}: expected different names")
    return frame


def _read_text(path: Path, label: str, has_class: bool) -> "pd.DataFrame":
    import pandas as pd

    separator = "\t" if path.suffix == ".tsv" else ","
    header = pd.read_csv(path, sep=separator, nrows=0)
    names = [str(name).strip() for name in header.columns]
    # Labels are read as they are written: NA may be a class.
    as_written = {_label_column(path, names, label)} if has_class else set()
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # of cells that are left out
        try:
            table = pd.read_csv(
                path,
                sep=separator,
                names=names,
                header=0,
                dtype=dict.fromkeys(as_written, str),
                keep_default_na=False,
                na_values=dict.fromkeys(set(names) - as_written, _MISSING),
                skipinitialspace=True,
                low_memory=False,
                index_col=False,
            )
        except pd.errors.ParserWarning as warning:
            raise InputError(
                f"{path}: a row has more cells than the first row has names, {len(names)}"
            ) from warning
    # A row that breaks off would pass for one whose last cells are missing.
    if table[names[-1]].isna().any() or (table[names[-1]].astype(str).str.strip() == "").any():
        _check_complete(path, separator, len(names))
    return table


def _label_column(path: Path, columns: list[str], label: str) -> str:
    if all(re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?(\.\d+)?", str(c), re.I) for c in columns):
        raise InputError(f"{path}: the first row holds numbers, expected names of columns")
    shown = ", ".join(map(repr, columns[:10])) + (" ..." if len(columns) > 10 else "")
    if label:
        if label not in columns:
            raise InputError(
                f"config.data.label is {label!r}: expected a column of {path}: {shown}"
            )
        return label
    found = [name for name in columns if str(name).strip().lower() in _LABELS]
    if len(found) != 1:
        raise InputError(
            f"{path}: {len(found)} columns are called {', '.join(_LABELS)}: say which holds the "
            f"class by --config.data.label=NAME; the columns are {shown}"
        )
    return found[0]


def _check_complete(path: Path, separator: str, cells: int) -> None:
    with path.open(newline="", encoding="utf-8-sig") as file:
        for i, row in enumerate(csv.reader(file, delimiter=separator)):
            if row and len(row) < cells:
                raise InputError(f"{path}: row {i} has {len(row)} cells, expected {cells}")


def _labels_of(series: "pd.Series") -> np.ndarray:
    """Numbers and truth values, NaN where one is missing, or words, empty where one is."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(series) and not series.isna().any():
        return series.to_numpy(bool)
    if pd.api.types.is_integer_dtype(series) and not series.isna().any():
        return series.to_numpy(np.int64)
    if pd.api.types.is_numeric_dtype(series):
        return series.to_numpy(np.float64, na_value=np.nan)
    words = np.array(["" if pd.isna(v) else str(v).strip() for v in series], str)
    # Integers if all words but empty ones are such, otherwise the words: 007 is no 7.
    if not all(word == "" or _WHOLE.fullmatch(word) for word in np.unique(words)):
        return words
    return np.array([int(word.split(".")[0]) if word else -1 for word in words], np.int64)
