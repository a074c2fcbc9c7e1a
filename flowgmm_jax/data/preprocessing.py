"""From examples as a user's files hold them to those that a model sees, and back.

Columns of vectors are centred and divided by their standard deviation, both in float64: units
differ from column to column, and an offset of a million should not cost the digits after the point.
Images become grey levels uint8 (H, W, C).
"""

import math
from typing import Any, NamedTuple

import numpy as np

from flowgmm_jax.data.base import blocks
from flowgmm_jax.data.columns import Column, columns_from_json
from flowgmm_jax.errors import InputError

LEVELS = 256  # of grey, of a user's own images
# Centre and scale are rounded to this part of the scale, so that they do not depend on the order of
# the examples, which the labelled examples, chosen by content, must not depend on either.
_STEPS = 2**12
_SAMPLED = 1000  # examples that are looked at for what float32 cannot tell apart
_FAR = 100.0  # standard deviations in an interquartile range, of a column that is noted


class Preprocessing(NamedTuple):
    """A fact of a data set, which belongs to every model that is trained on it.

    Attributes:
      centre: (D,) of vectors, in the units of the columns; () of images.
      scale: (D,) of vectors: their standard deviations, 1 for a constant column; () of images.
      channels_first: whether images are stored as (C, H, W).
      unit: whether images are stored as values in [0, 1] instead of grey levels.
      image_size: side in pixels that images are scaled to; 0: as they are.
      columns: of the table whose rows become vectors; () if there is none.
    """

    centre: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    channels_first: bool = False
    unit: bool = False
    image_size: int = 0
    columns: tuple[Column, ...] = ()

    @property
    def log_volume(self) -> float:
        """log |dx/dx'| of raw vectors x and standardised ones x', in nats: the log-density of x is
        that of x' without it. Grey levels are the unit of images, however they are stored."""
        return math.fsum(math.log(scale) for scale in self.scale)


def from_json(fields: dict[str, Any]) -> Preprocessing:
    """What ``_asdict`` was, after a file of JSON."""
    fields = {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}
    return Preprocessing(**fields | {"columns": columns_from_json(fields.get("columns", ()))})


class Columns(NamedTuple):
    """The columns of a table of N vectors, each (D,), float64."""

    centre: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray


def fit_columns(x: np.ndarray) -> Columns:
    """Centre, scale and range of the columns of x (N, D), finite numbers, read in blocks."""
    low, high = np.full(x.shape[1], np.inf), np.full(x.shape[1], -np.inf)
    for block in map(_as_float64, blocks(x)):
        low, high = np.minimum(low, block.min(0)), np.maximum(high, block.max(0))
    # In units of the range, where neither sums nor squares overflow or cancel.
    half = high / 2 - low / 2
    is_constant = half == 0
    unit = np.where(is_constant, 1.0, half)
    total, squares = np.zeros_like(low), np.zeros_like(low)
    for block in blocks(x):
        position = (_as_float64(block) / 2 - low / 2) / unit
        total += position.sum(0)
        squares += np.square(position).sum(0)
    mean = total / len(x)
    deviation = np.sqrt(np.maximum(squares / len(x) - np.square(mean), 0))
    scale = np.where(is_constant, 1.0, _rounded(np.where(is_constant, 1.0, 2 * deviation * half)))
    centre = low * (1 - mean) + high * mean
    step = scale / _STEPS
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        rounded = np.round(centre / step) * step
    centre = np.where(is_constant | ~np.isfinite(rounded), low, rounded)
    return Columns(centre, scale, low, high)


def standardised(x: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """(x - centre) / scale of x (N, D), in float64; float32, infinite where that is too small."""
    centre, scale = np.array(preprocessing.centre), np.array(preprocessing.scale)
    # In halves: the difference of two large numbers of different sign would overflow.
    with np.errstate(over="ignore"):
        return (2 * ((_as_float64(x) / 2 - centre / 2) / scale)).astype(np.float32)


def unstandardised(x: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """The inverse of ``standardised``, float64: in float32 an offset would swallow the digits."""
    with np.errstate(over="ignore"):
        return _as_float64(x) * np.array(preprocessing.scale) + np.array(preprocessing.centre)


def check_kept(
    x: np.ndarray, preprocessing: Preprocessing, names: list[str], what: str
) -> list[str]:
    """Checks that float32 tells the standardised examples of x (N, D) apart, from some of them.

    Returns:
      Notes about columns of which a few values are far from the others, for people.

    Raises:
      InputError: for a column of whose values most become equal, since others are so far away.
    """
    sample = _as_float64(x[:: max(1, len(x) // _SAMPLED)])
    z = standardised(sample, preprocessing)
    found, kept = (1 + (np.diff(np.sort(a, axis=0), axis=0) != 0).sum(0) for a in (sample, z))
    for column in np.flatnonzero(2 * kept < found):
        raise InputError(
            f"{what}: column {names[column]} has values so far from the others that float32 keeps "
            f"{kept[column]} of {found[column]} different ones: expected no outliers, such as "
            "codes for missing values"
        )
    first, third = np.quantile(z, [0.25, 0.75], axis=0)
    far = np.flatnonzero((third > first) & (_FAR * (third - first) < 1))
    return [
        f"column {names[c]}: a few values are {1 / (third[c] - first[c]):.0f} times as far apart "
        "as the middle half; are they codes for missing values?"
        for c in far
    ]


# ------------------------------------------------------------------------------------ images


def fit_images(x: np.ndarray, what: str) -> Preprocessing:
    """How images x, (N, H, W), (N, H, W, C) or (N, C, H, W), become grey levels: by their shape,
    and the range of their values, which are read in blocks.

    Raises:
      InputError: for a shape or values that can be read in two ways or in none.
    """
    channels_first = are_channels_first(x.shape, what)
    if x.dtype == np.uint8:
        low, high = value_range(x)
    else:
        low, high, is_whole = _range_of_levels(x, what)
        if x.dtype == bool or (x.dtype.kind == "f" and low >= 0 and high <= 1):
            return Preprocessing(channels_first=channels_first, unit=True)
        if not is_whole:
            raise InputError(
                f"{what} has values {low:g} to {high:g}: expected images of whole grey levels 0 to "
                "255, or of values in [0, 1]"
            )
        if not 0 <= low <= high < LEVELS:
            raise InputError(
                f"{what} has grey levels {low:g} to {high:g}: expected 0 to {LEVELS - 1}"
            )
    if high <= 1:
        raise InputError(
            f"{what} has no grey level above {high:g}, all images would be black: expected 0 to "
            f"{LEVELS - 1} as integers, or values in [0, 1] as floats"
        )
    return Preprocessing(channels_first=channels_first)


def are_channels_first(shape: tuple[int, ...], what: str) -> bool:
    """Whether images of ``shape``, (N, ...), are (N, C, H, W); raises InputError as
    ``fit_images``."""
    if len(shape) == 3:
        return False
    first, last = shape[1] <= 4, shape[3] <= 4
    if shape[3] in (1, 3) or (last and not first):
        return False
    if first and not last:
        return True
    raise InputError(
        f"{what} has shape {shape}: expected images (N, H, W), (N, H, W, C) or (N, C, H, W) with "
        "1 to 4 channels"
    )


def levels_of(x: np.ndarray, preprocessing: Preprocessing, what: str) -> np.ndarray:
    """Images x as they are stored as grey levels uint8 (N, H, W, C); no copy of those that are
    that already.

    Raises:
      InputError: for values that are not those of ``preprocessing``; ``what`` names x.
    """
    if x.ndim == 3:
        x = x[..., None]
    elif preprocessing.channels_first:
        x = np.moveaxis(x, 1, -1)
    if preprocessing.unit and x.dtype.kind not in "fb":
        raise InputError(f"{what} is {x.dtype}: expected values in [0, 1], as in training")
    if x.dtype == np.uint8:
        return x
    low, high, is_whole = _range_of_levels(x, what)
    most = 1 if preprocessing.unit else LEVELS - 1
    # Floats up to 1 are not grey levels of which nearly all are black.
    is_levels = is_whole and not (x.dtype.kind in "fb" and high <= 1)
    if not 0 <= low <= high <= most or not (is_levels or preprocessing.unit):
        whole = "values" if preprocessing.unit else "whole grey levels"
        raise InputError(f"{what} has values {low:g} to {high:g}: expected {whole} 0 to {most}")
    result = np.empty(x.shape, np.uint8)
    start = 0
    for block in blocks(x):
        levels = np.round((LEVELS - 1) * block.astype(np.float64)) if preprocessing.unit else block
        result[start : start + len(block)] = levels
        start += len(block)
    return result


def value_range(x: np.ndarray) -> tuple[float, float]:
    """The least and the largest number of x (N, ...), read in blocks."""
    ends = [(block.min(), block.max()) for block in blocks(x)]
    return float(min(low for low, _ in ends)), float(max(high for _, high in ends))


def _range_of_levels(x: np.ndarray, what: str) -> tuple[float, float, bool]:
    check_finite(x, what)
    is_whole = x.dtype.kind != "f" or all((b == np.floor(b)).all() for b in blocks(x))
    return *value_range(x), is_whole


def _as_float64(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64, copy=False)


def check_finite(x: np.ndarray, what: str) -> None:
    """Checks that all numbers of x (N, ...), read in blocks, are finite.

    Raises:
      InputError: with the place of the first that is not; ``what`` names x.
    """
    start = 0
    for block in blocks(x):
        if x.dtype.kind == "f" and not np.isfinite(block).all():
            rows, *place = (indices[0] for indices in np.nonzero(~np.isfinite(block)))
            kind = "missing (NaN)" if np.isnan(block[rows, *place]) else "infinite"
            column = place[0] if len(place) == 1 else tuple(int(i) for i in place)
            raise InputError(
                f"{what} has values that are not finite: the first, in row {start + rows} and "
                f"column {column}, is {kind}; expected numbers, fill or drop it"
            )
        start += len(block)


def _rounded(scale: np.ndarray) -> np.ndarray:
    mantissa, exponent = np.frexp(scale)
    return np.ldexp(np.round(mantissa * _STEPS) / _STEPS, exponent)
