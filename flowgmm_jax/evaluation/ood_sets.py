"""Out-of-domain sets by their names: other data sets, files, and what is made of the test set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from flowgmm_jax.data import datasets, preprocessing, tfds
from flowgmm_jax.errors import InputError
from flowgmm_jax.trained import Trained


def _noise(x: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform grey levels; for vectors, uniform in the bounding box."""
    if levels:
        return rng.integers(0, levels, x.shape, np.uint8)
    return rng.uniform(x.min(0), x.max(0), x.shape).astype(np.float32)


def _shuffled(x: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """The pixels of every image in an order of its own; for vectors, every dimension's values
    exchanged among the examples."""
    if not levels:
        return rng.permuted(x, axis=0)
    pixels = x.reshape(len(x), -1, x.shape[-1])
    order = rng.permuted(np.tile(np.arange(pixels.shape[1]), (len(x), 1)), axis=1)
    return np.take_along_axis(pixels, order[..., None], axis=1).reshape(x.shape)


def _inverted(x: np.ndarray, levels: int, rng: np.random.Generator) -> np.ndarray:
    """Black for white."""
    return (levels - 1 - x).astype(np.uint8)


FILES = (".npz", ".npy")
IMAGE_SYNTHETIC = {"noise": _noise, "shuffled": _shuffled, "inverted": _inverted}
VECTOR_SYNTHETIC = {"noise": _noise, "shuffled": _shuffled}


def _read_file(name: str, trained: Trained) -> np.ndarray:
    """Examples of a .npz or .npy file, preprocessed as those of the run were."""
    what, path = f"out-of-domain set {name!r}", Path(name).expanduser()
    try:
        if path.suffix == ".npy":
            x = np.load(path, allow_pickle=False)
        else:
            with np.load(path, allow_pickle=False) as arrays:
                x = arrays["x_test"] if "x_test" in arrays else arrays["x"]
    except Exception as error:  # a damaged archive can raise almost anything
        raise InputError(f"{what}: expected a .npz file with x_test or x ({error})") from error
    source, info = trained.dataset.source, trained.info
    fields = source.preprocessing if source else preprocessing.Preprocessing()
    rank = 1 + len(info.shape) - (info.levels and info.shape[-1] == 1)
    if x.dtype.kind not in "fiub" or x.ndim not in (rank, 1 + len(info.shape)) or not len(x):
        return x  # which is refused
    if info.levels:
        return preprocessing.levels_of(x, fields, what)
    preprocessing.check_finite(x, what)
    return preprocessing.standardised(x, fields) if fields.scale else x.astype(np.float32)


def _load(name: str, trained: Trained) -> np.ndarray:
    data, info = trained.config.data, trained.info
    synthetic = IMAGE_SYNTHETIC if info.levels else VECTOR_SYNTHETIC
    stored = [known for known in datasets.LOADERS if known not in datasets.OWN]
    if name in synthetic:
        return synthetic[name](trained.dataset.x_test, info.levels, np.random.default_rng(0))
    if name.endswith(FILES):
        x = _read_file(name, trained)
    elif name in stored:
        # The folder of the run holds other sets too where it is one of tensorflow-datasets.
        data_dir = data.data_dir if data.name in tfds.INFO else ""
        source = ConfigDict({"name": name, "data_dir": data_dir, "split_seed": 0})
        x, _ = datasets.load_test(source)
    else:
        raise InputError(
            f"out-of-domain set {name!r} is unknown; expected a .npz file or one of "
            f"{', '.join([*synthetic, *stored])}"
        )
    dtype = np.dtype(np.uint8 if info.levels else np.float32)
    if x.shape[1:] != info.shape or x.dtype != dtype or not len(x):
        expected = ", ".join(map(str, info.shape))
        raise InputError(
            f"out-of-domain set {name!r} is {x.dtype} {x.shape}; the model takes {dtype} "
            f"(N, {expected})"
        )
    if info.levels and x.max() >= info.levels:
        raise InputError(
            f"out-of-domain set {name!r} has grey level {x.max()}; the model takes "
            f"0..{info.levels - 1}"
        )
    return x


def load(names: Sequence[str], trained: Trained) -> dict[str, np.ndarray]:
    """Out-of-domain sets for a model, by their names.

    Args:
      names: of data sets of ``data.datasets``, whose test examples are taken; paths of .npz files
        with ``x_test`` or ``x``, or of .npy files, of examples as those of the run are stored; or
        sets made of the model's own test examples: "noise" (uniform), "shuffled" (pixels, or values
        of a dimension) and for images "inverted".
      trained: what is evaluated; its data directory is where sets of tensorflow-datasets are.

    Returns:
      examples as the model takes them by name; of a path, by the name of the file.

    Raises:
      InputError: for an unknown name, two sets of one name, a file that cannot be read, or examples
        of another kind than the model's.
      FileNotFoundError: for a data set that is not there.
    """
    sets = {}
    for name in names:
        label = Path(name).stem if name.endswith(FILES) else name
        if label in sets:
            raise InputError(f"--ood names two sets {label!r}: expected different names")
        sets[label] = _load(name, trained)
    return sets
