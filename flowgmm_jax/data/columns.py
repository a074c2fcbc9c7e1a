"""Columns of numbers and of words as one array of numbers, fitted on the training rows.

A row is first an array of *codes*, one a column: its number, or the number of its word among the
words of that column; NaN where the value is missing, infinite where it is another word. Codes
become *features*: a number is one, a word of K kinds is K - 1 indicators. The first kind has none:
all K would sum to 1, and a density of rows that lie in a plane has no bound.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from flowgmm_jax.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

MOST_KINDS = 100  # of words in a column


class Column(NamedTuple):
    """What is known of a column.

    Attributes:
      name: of the column.
      kinds: the words that occur, sorted; () of numbers.
      fill: the code that a missing value gets: the median of numbers, the most frequent word; None
        if no training row lacks one.
    """

    name: str
    kinds: tuple[str, ...] = ()
    fill: float | None = None

    @property
    def features(self) -> list[str]:
        """Names of its features."""
        if not self.kinds:
            return [self.name]
        # A constant column stays one.
        return [f"{self.name}={kind}" for kind in self.kinds[1:] or self.kinds]


def columns_from_json(fields: Sequence[Sequence]) -> tuple[Column, ...]:
    """What columns were before they were written to a file of JSON."""
    return tuple(Column(name, tuple(kinds), fill) for name, kinds, fill in fields)


def kinds_of(series: "pd.Series", what: str) -> tuple[str, ...]:
    """The words of a column, sorted, of which some may be missing; () if it holds numbers.

    Raises:
      InputError: for words among numbers, words that are no categories, and what is neither.
        ``what`` names the column.
    """
    import pandas as pd

    present = series.dropna()
    numbers = pd.to_numeric(present, errors="coerce") if _may_hold_words(series) else present
    if pd.api.types.is_numeric_dtype(numbers) and not numbers.isna().any():
        return ()
    strangers = [value for value in present if not isinstance(value, str)]
    if strangers or not _may_hold_words(series):
        kind = type(strangers[0]).__name__ if strangers else series.dtype
        raise InputError(f"{what} holds values of type {kind}: expected numbers or words")
    words = present.str.strip()
    odd = words[numbers.isna()]
    if len(odd) < len(words):
        raise InputError(
            f"{what} holds words, such as {odd.iloc[0]!r}, among numbers: expected either"
        )
    kinds = sorted(set(words))
    if len(kinds) > MOST_KINDS or 2 * len(kinds) > len(words):
        raise InputError(
            f"{what} holds {len(kinds)} different words, such as {kinds[0]!r}, in {len(words)} "
            f"rows: expected numbers, or at most {MOST_KINDS} words that occur twice on average"
        )
    return tuple(kinds)


def _may_hold_words(series: "pd.Series") -> bool:
    return str(series.dtype) in ("object", "str", "string", "category")


def codes_of(series: "pd.Series", column: Column) -> np.ndarray:
    """Codes (N,) float64: NaN for what is missing, infinite for what is no number, or none of the
    words, which is not filled in as if it were missing."""
    import pandas as pd

    if column.kinds:
        number = {kind: float(i) for i, kind in enumerate(column.kinds)}
        codes = np.array([number.get(str(value).strip(), np.inf) for value in series], np.float64)
    else:
        is_number = pd.api.types.is_numeric_dtype(series)
        numbers = series if is_number else pd.to_numeric(series.astype(object), errors="coerce")
        codes = numbers.to_numpy(np.float64, na_value=np.nan)
        codes = np.where(np.isnan(codes), np.inf, codes)
    return np.where(series.isna(), np.nan, codes)


def fit_fill(codes: np.ndarray, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns of training rows, codes (N, C), with what their missing values get."""

    def fill(code: np.ndarray, column: Column) -> float | None:
        known = code[~np.isnan(code)]
        if len(known) == len(code):
            return None
        if not len(known):
            return 0.0
        if column.kinds:
            return float(np.bincount(known.astype(int)).argmax())
        return float(np.quantile(known, 0.5, method="lower"))  # a value that occurs

    return tuple(
        column._replace(fill=fill(code, column))
        for code, column in zip(codes.T, columns, strict=True)
    )


def filled(codes: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    """Codes (N, C) with missing ones filled in, where the columns say how."""
    fill = np.array([np.nan if column.fill is None else column.fill for column in columns])
    return np.where(np.isnan(codes), fill, codes)


def features_of(codes: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    """Features (N, D) float64 of codes (N, C); not finite where a code is not."""

    def of_column(code: np.ndarray, column: Column) -> np.ndarray:
        if not column.kinds:
            return code[:, None]
        own = np.arange(1, 1 + len(column.features))
        return np.where(np.isfinite(code)[:, None], code[:, None] == own, np.nan)

    parts = [of_column(*pair) for pair in zip(codes.T, columns, strict=True)]
    return np.concatenate(parts, axis=1)


def notes_on(codes: np.ndarray, columns: Sequence[Column]) -> list[str]:
    """What was made of words and of missing values of training rows, a line each."""
    notes = []
    for code, column in zip(codes.T, columns, strict=True):
        missing = int(np.isnan(code).sum())
        if column.kinds:
            notes.append(f"column {column.name}: {len(column.kinds)} words, as indicators")
        if missing == len(code):
            notes.append(f"column {column.name}: no values, taken as constant")
        elif missing:
            kind = (
                f"the most frequent word, {column.kinds[int(column.fill)]}"
                if column.kinds
                else f"the median, {column.fill:.7g}"
            )
            notes.append(f"column {column.name}: {missing} missing values, taken as {kind}")
    return notes
