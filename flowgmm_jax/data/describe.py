"""What a run understood of its data: made once, printed before training, kept in its directory."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from flowgmm_jax.data.base import Dataset
from flowgmm_jax.data.preprocessing import value_range
from flowgmm_jax.data.splits import Split

_SHOWN = 12  # classes, columns


class Description(NamedTuple):
    """Facts about a data set and its split.

    Attributes:
      kind: "images" or "vectors".
      shape: of one example, as the model sees it.
      dtype: of the examples as they are stored.
      low, high: the least and the largest number in the training examples as they are stored.
      train, test: numbers of examples.
      labeled, unlabeled, validation: numbers of examples of the split; one may be both of the first
        two.
      unknown: training examples without a label.
      classes: training examples with a label, by the name of their class.
      as_seen: what the model sees of an example.
      constant: names of the columns that hold one value.
      notes: what was left out or is odd.
    """

    kind: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    train: int
    test: int
    labeled: int
    unlabeled: int
    validation: int
    unknown: int
    classes: dict[str, int]
    as_seen: str
    constant: tuple[str, ...]
    notes: tuple[str, ...]


def describe(dataset: Dataset, split: Split) -> Description:
    """The description of a loaded data set."""
    info, source = dataset.info, dataset.source
    if source is None:
        (low, high), dtype = value_range(dataset.x_train), str(dataset.x_train.dtype)
    else:
        low, high, dtype = source.low, source.high, source.dtype
    counts = np.bincount(dataset.y_train + 1, minlength=info.num_classes + 1).tolist()
    classes = dict(zip(dataset.classes, counts[1:], strict=True))
    notes = list(source.notes) if source else []
    notes += [f"class {name} has 1 training example" for name, n in classes.items() if n == 1]
    return Description(
        "images" if len(info.shape) == 3 else "vectors",
        info.shape,
        dtype,
        low,
        high,
        len(dataset.y_train),
        len(dataset.y_test),
        len(split.labeled),
        len(split.unlabeled),
        len(split.validation),
        counts[0],
        classes,
        _as_seen(dataset),
        source.constant if source else (),
        tuple(notes),
    )


def lines(description: Description) -> list[str]:
    """The description as people read it."""
    d = description
    shape = " x ".join(map(str, d.shape))
    classes = [f"{name} ({count})" for name, count in d.classes.items()]
    result = [
        f"data: {d.kind} of {shape} numbers, {d.dtype}, {d.low:.7g} to {d.high:.7g}; {d.as_seen}",
        f"  {d.train} training and {d.test} test examples; of the former {d.labeled} labelled, "
        f"{d.unlabeled} unlabelled, {d.validation} held out",
        f"  {len(classes)} classes: {_listed(classes)}"
        + (f"; {d.unknown} labels are unknown" if d.unknown else ""),
    ]
    if d.constant:
        result.append(f"  constant columns: {_listed(d.constant)}")
    return result + [f"  note: {note}" for note in _some(d.notes)]


def _as_seen(dataset: Dataset) -> str:
    if dataset.source is None:
        return "taken as they are"
    fields = dataset.source.preprocessing
    if fields.scale:
        return "each column centred and divided by its standard deviation"
    done = [
        "[0, 1] taken as 256 grey levels" if fields.unit else "taken as grey levels of 256",
        "channels, which come first, put last" if fields.channels_first else "",
        f"scaled to {fields.image_size} pixels a side" if fields.image_size else "",
    ]
    return ", ".join(filter(None, done))


def _some(items: Sequence[str]) -> list[str]:
    rest = len(items) - _SHOWN
    return [*items[:_SHOWN], *([f"and {rest} more"] if rest > 0 else [])]


def _listed(items: Sequence[str]) -> str:
    return ", ".join(_some(items))
