"""Classes are the labels that occur, whatever they are: numbers, words, truth values."""

from collections.abc import Sequence

import numpy as np

from flowgmm_jax.errors import InputError

UNKNOWN = -1
# What people write where a label is missing. A class of one of these names is more probably a
# missing label, which is '' among words and -1 or NaN among numbers.
_RESERVED = {
    "-1", "?", "na", "n/a", "nan", "none", "null", "unknown", "unlabeled", "unlabelled", "unlabel",
}  # fmt: skip
# What -1 becomes in a type without a sign.
_WRAPPED = tuple(2**bits - 1 for bits in (8, 16, 32, 64))
_MANY = 100  # classes; if there are more, most should have more than one example


def encode(
    labels: np.ndarray, size: int, what: str, names: Sequence[str] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers of classes, and their names.

    Args:
      labels: (size,) or (size, 1), integers, whole floats, booleans or words; unknown are -1, NaN
        and the empty word.
      size: number of examples.
      what: name of the labels for messages.
      names: of the classes, if they are known; none other may occur then, and no label may be
        unknown. Otherwise numbers are in their order and words in alphabetical order.

    Returns:
      int32 (size,), -1 where a label is unknown, and the names.

    Raises:
      InputError: for labels that are no classes, or of which it is doubtful.
    """
    if labels.shape == (size, 1):
        labels = labels[:, 0]
    if labels.shape != (size,):
        raise InputError(
            f"{what} is {labels.dtype} {labels.shape}; expected one label for each example, "
            f"({size},)"
        )
    values, known = _values(labels, what)
    found, numbers = np.unique(values[known], return_inverse=True)
    own_names = tuple(map(str, found.tolist()))
    y = np.full(size, UNKNOWN, np.int32)
    y[known] = numbers
    if names is None:
        _check_classes(found, own_names, int(known.sum()), bool(known.all()), what)
        return y, own_names
    if strangers := [name for name in own_names if name not in names]:
        raise InputError(
            f"{what} has the class {_quoted(strangers[:1])}, which no training example has: "
            f"expected {_quoted(names)}"
        )
    if not known.all():
        raise InputError(f"{what} has {np.sum(~known)} unknown labels: expected a class for each")
    return np.array([names.index(name) for name in own_names], np.int32)[y], tuple(names)


def _values(labels: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    """The labels without those of no use for names, and which of them are known."""
    kind = labels.dtype.kind
    if kind == "b":
        return labels, np.ones(labels.shape, bool)
    if kind in "SU":
        try:
            words = np.strings.strip(labels.astype(str))
        except UnicodeDecodeError:
            raise InputError(f"{what} has bytes that are no text: expected ASCII") from None
        return words, words != ""
    if kind == "f":
        is_missing = np.isnan(labels)
        present = labels[~is_missing]
        odd = present[(np.abs(present) > 2**53) | (present != np.floor(present))]
        if odd.size:
            raise InputError(f"{what} has the label {odd[0]:g}: expected classes, whole or words")
        labels = np.where(is_missing, UNKNOWN, labels).astype(np.int64)
    elif kind not in "iu":
        raise InputError(f"{what} is {labels.dtype}; expected integers, words or truth values")
    if labels.size and labels.min() < UNKNOWN:
        raise InputError(
            f"{what} has the label {labels.min()}: expected {UNKNOWN} where it is unknown, and no "
            "other negative one"
        )
    return labels, labels != UNKNOWN


def _check_classes(
    found: np.ndarray, names: Sequence[str], known: int, are_all_known: bool, what: str
) -> None:
    if not names:
        raise InputError(f"{what} has no known label: expected some")
    for name in names:
        if name.casefold() in _RESERVED:
            raise InputError(
                f"{what} has the label {name!r}: expected '' where it is unknown, or another name "
                "for this class"
            )
    spellings = {}
    for name in names:
        other = spellings.setdefault(name.casefold(), name)
        if other != name:
            raise InputError(f"{what} has the labels {other!r} and {name!r}: expected one spelling")
    if found.dtype.kind in "iu":
        values = [int(value) for value in found]
        wrapped = [v for v in _WRAPPED if v in values and v - 1 not in values]
        if wrapped and len(values) > 2:
            raise InputError(
                f"{what} has the label {wrapped[0]}, which is {UNKNOWN} in a type without a sign: "
                f"expected {UNKNOWN} where it is unknown, or another number for this class"
            )
        if values == [1] and not are_all_known:
            raise InputError(
                f"{what} has the labels -1 and 1: -1 means unknown; expected other numbers for two "
                "classes, such as 0 and 1"
            )
    if len(names) > _MANY and 2 * len(names) > known:
        raise InputError(
            f"{what} has {len(names)} different labels in {known} examples: expected classes, not "
            "quantities or names of examples"
        )


def _quoted(names: Sequence[str], most: int = 10) -> str:
    """Names for a message, the first of them if there are many."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + rest
