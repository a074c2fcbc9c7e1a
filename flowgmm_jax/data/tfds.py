"""Sets prepared by tensorflow-datasets, read from their files without TensorFlow.

Only the files are read, whatever version they are: the official builders insist on their own
version, retry the network, and cannot know a set such as notMNIST that has no builder. A split may
also lie there as decoded arrays, NAME-SPLIT.npz, which need no tensorflow-datasets to be read.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flowgmm_jax.data import cache
from flowgmm_jax.data.arrays import open_arrays
from flowgmm_jax.data.base import Dataset, ExamplesAndLabels, Info
from flowgmm_jax.errors import InputError, first_line

INFO = {
    "mnist": Info((28, 28, 1), 10, 256),
    "fashion_mnist": Info((28, 28, 1), 10, 256),
    "cifar10": Info((32, 32, 3), 10, 256),
    "svhn_cropped": Info((32, 32, 3), 10, 256),
    "notmnist": Info((28, 28, 1), 10, 256),
}
TEST_ONLY = ("notmnist",)

_READ_AT_ONCE = 1000


def load(name: str, data_dir: str) -> Dataset:
    """Loads the training and test split of a prepared set.

    Args:
      name: a key of ``INFO``.
      data_dir: folder of prepared sets, as ``root_of`` takes it.

    Returns:
      The examples in the order of the files.

    Raises:
      FileNotFoundError: the set is not prepared in ``data_dir``.
      InputError: the set has no training split, or its files cannot be read.
    """
    if name in TEST_ONLY:
        raise InputError(
            f"config.data.name={name!r} has only a test split, for out-of-domain evaluation: "
            "train on another set"
        )
    train, test = (load_split(name, split, data_dir) for split in ("train", "test"))
    return Dataset(*train, *test, INFO[name])


def load_split(name: str, split: str, data_dir: str) -> ExamplesAndLabels:
    """One split, "train" or "test", of a prepared set as in ``load``, from the arrays of
    ``write_arrays`` or from the cache of decoded ones if possible: uint8 images (N, H, W, C) and
    int32 labels (N,)."""
    root = root_of(data_dir)
    if (arrays := root / f"{name}-{split}.npz").exists():
        with open_arrays(arrays) as opened:
            return opened.read("x_train"), opened.read("y_train")
    records = _find_records(name, split, root)
    version = records[0].parent
    return cache.cached(
        f"{name}-{version.name}-{split}",
        [version / "dataset_info.json", version / "features.json", *records],
        lambda: _decode(name, split, records),
    )


def write_arrays(name: str, data_dir: str, folder: Path) -> None:
    """Writes the splits of a prepared set as compressed arrays into a folder, which is then a
    ``data_dir`` for machines without tensorflow-datasets.

    Raises:
      FileNotFoundError, InputError: as for ``load``.
    """
    for split in ("train", "test"):
        x, y = load_split(name, split, data_dir)
        np.savez_compressed(folder / f"{name}-{split}.npz", x=x, y=y)


def root_of(data_dir: str) -> Path:
    """The folder of prepared sets that a config's ``data_dir`` means; empty: that of
    tensorflow-datasets, ``$TFDS_DATA_DIR`` or ``~/tensorflow_datasets``."""
    default = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return Path(data_dir or default).expanduser()


def _find_records(name: str, split: str, root: Path) -> list[Path]:
    """The record files of a split in the newest version that has any."""
    pattern = f"{name}-{split}.array_record-*"
    versions = [path.parent for path in root.glob(f"{name}/*.*.*/dataset_info.json")]
    for version in sorted(versions, key=_version_number, reverse=True):
        if (version / "features.json").exists() and (records := sorted(version.glob(pattern))):
            return records
    found = [str(path.relative_to(root)) for path in sorted(root.glob(f"{name}/*/*"))]
    raise FileNotFoundError(
        f"{root}: no prepared {name} {split} split; expected {name}/<version>/{pattern} with "
        f"dataset_info.json and features.json, found {', '.join(found) or 'nothing'}; "
        + how_to_prepare(name, root)
    )


def _version_number(folder: Path) -> tuple[int, ...]:
    return tuple(int(part) if part.isdigit() else -1 for part in folder.name.split("."))


def how_to_prepare(name: str, root: Path) -> str:
    """What to do to have a set in a folder, as a part of a message."""
    if name in TEST_ONLY:
        return "tensorflow-datasets has no builder for it: copy prepared files there"
    return (
        'prepare it with: pip install "flowgmm_jax[prepare]" && '
        f"python -m flowgmm_jax.data.prepare {name} --data_dir={root}"
    )


def _decode(name: str, split: str, records: list[Path]) -> tuple[int, Iterator[ExamplesAndLabels]]:
    import tensorflow_datasets as tfds

    with _reading(records):
        builder = tfds.builder_from_directory(records[0].parent)
        source = builder.as_data_source(split=split)
        if not (total := len(source)):
            raise ValueError("no examples")

    def blocks():
        with _reading(records):
            for start in tqdm(
                range(0, total, _READ_AT_ONCE),
                desc=f"decoding {name} {split}",
                unit=" images",
                unit_scale=_READ_AT_ONCE,
                disable=None,
            ):
                stop = min(start + _READ_AT_ONCE, total)
                examples = source.__getitems__(list(range(start, stop)))
                yield (
                    np.stack([example["image"] for example in examples]),
                    np.array([example["label"] for example in examples], np.int32),
                )

    return total, blocks()


@contextlib.contextmanager
def _reading(records: list[Path]) -> Iterator[None]:
    """Names the files in any error, and hides what tensorflow-datasets logs as errors although it
    only concerns speed."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except Exception as error:  # the readers' errors have no common type
        raise InputError(
            f"{', '.join(map(str, records))}: cannot be read, damaged or incomplete "
            f"({first_line(error)})"
        ) from error
    finally:
        logger.setLevel(level)
