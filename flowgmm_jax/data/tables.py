"""A user's own table: a .csv or .tsv file with one row for each example, or two in a folder."""

import csv
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flowgmm_jax.errors import InputError

SUFFIXES = (".csv", ".tsv")
_LABELS = ("label", "labels", "class", "target", "y")
_MISSING = ["", "NA", "N/A", "n/a", "nan", "NaN", "null", "NULL", "None", "<NA>", "#N/A"]
_WHOLE = re.compile(r"(-1|0|[1-9]\d{0,17})(\.0+)?")


class Table(NamedTuple):
    """The columns of a file.

    Attributes:
      x: (N, D) float64, NaN where a value is missing.
      y: (N,), integers or words.
      columns: the names of those of x.
      notes: what was left out.
    """

    x: np.ndarray
    y: np.ndarray
    columns: list[str]
    notes: list[str]


def read_table(path: Path, label: str) -> Table:
    """Reads a table whose first row names its columns.

    Args:
      path: of the file; .tsv is divided by tabs, anything else by commas.
      label: name of the column of the class; empty: the one that is called label, class, target or
        y.

    Raises:
      InputError: one line that names the file and what is wrong with it.
    """
    import pandas as pd  # takes long to import

    separator = "\t" if path.suffix == ".tsv" else ","
    try:
        header = pd.read_csv(path, sep=separator, nrows=0)
        names = [str(name).strip() for name in header.columns]
        column = _label_column(path, names, label)
        # Labels are read as they are written: NA may be a class.
        others = [name for name in names if name != column]
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of cells that are left out
            table = pd.read_csv(
                path,
                sep=separator,
                names=names,
                header=0,
                dtype={column: str},
                keep_default_na=False,
                na_values=dict.fromkeys(others, _MISSING),
                skipinitialspace=True,
                low_memory=False,
                index_col=False,
            )
        if column == names[-1] and (table[column].str.strip() == "").any():
            _check_complete(path, separator, len(names))
    except InputError:
        raise
    except pd.errors.ParserWarning as warning:
        raise InputError(
            f"{path}: a row has more cells than the first row has names, {len(names)}"
        ) from warning
    except Exception as error:  # of pandas, or of the bytes of the file
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path}: cannot be read as a table ({reason})") from error
    y = _labels(np.array([word.strip() for word in table.pop(column)], str))
    notes = []
    for name in list(table.columns):
        numbers = np.arange(len(table))
        if str(name).startswith("Unnamed:") and np.array_equal(table[name].to_numpy(), numbers):
            notes.append(f"{path.name}: the first column, numbers of rows")
            table.pop(name)
        elif not (pd.api.types.is_numeric_dtype(table[name]) or table[name].isna().all()):
            odd = table[name].dropna().astype(str)
            odd = odd[pd.to_numeric(odd, errors="coerce").isna()]
            example = f", such as {odd.iloc[0]!r}" if len(odd) else ""
            raise InputError(
                f"{path}: column {name!r} holds words{example}: expected numbers in all columns "
                "but that of the class"
            )
    if not len(table.columns) or not len(table):
        raise InputError(f"{path} has {len(table)} rows of {len(table.columns)} numbers")
    x = table.to_numpy(np.float64)
    for name, is_missing in zip(table.columns, np.isnan(x).T, strict=True):
        if is_missing.any():
            raise InputError(
                f"{path}: column {name!r} has {is_missing.sum()} missing values, the first in row "
                f"{np.argmax(is_missing) + 1}: expected numbers, fill or drop them"
            )
    return Table(x, y, [str(name) for name in table.columns], notes)


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
    """A row that breaks off before its label would pass for one without a label."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        for i, row in enumerate(csv.reader(file, delimiter=separator)):
            if row and len(row) < cells:
                raise InputError(f"{path}: row {i} has {len(row)} cells, expected {cells}")


def _labels(words: np.ndarray) -> np.ndarray:
    """Integers if all words but empty ones are such, otherwise the words: 007 is no 7."""
    if not all(word == "" or _WHOLE.fullmatch(word) for word in np.unique(words)):
        return words
    return np.array([int(word.split(".")[0]) if word else -1 for word in words], np.int64)
