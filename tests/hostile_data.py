"""Hostile arrays, tables and folders of images, drawn by hypothesis, and what becomes of each: a
finite result or one line that names the file or the field. ``hostile.py`` counts them."""

import shutil
import warnings
from functools import cache
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from hypothesis import strategies as st
from ml_collections import ConfigDict
from PIL import Image

from flowgmm_jax.config import complete
from flowgmm_jax.data import datasets, describe, splits
from flowgmm_jax.data.base import Info
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.build import build

TAKEN, REFUSED = "taken", "refused in one line"
SIZE = 24

DTYPES = [
    "float64",
    "float32",
    "float16",
    ">f8",
    "int64",
    "int32",
    "int8",
    "uint8",
    "uint16",
    "bool",
]
SCALES = [1e-300, 1e-30, 1e-6, 1.0, 100.0, 1e6, 1e30, 1e300]
OFFSETS = [0.0, 0.0, 1.0, -1e3, 1e7, 1e12, 1e30]
SHAPES = (
    [(2,), (3,)] * 10
    + [(4, 4), (4, 8, 3)] * 5
    + [(1,), (4, 4), (4, 4, 1), (4, 8, 3), (3, 8, 8), (8, 8, 9), (2, 2, 2), (0,), ()]
)
LABELS = [[0, 1], [0, 1, -1], [0, 1, 2], ["cat", "dog"], [1.0, 2.0]] * 10 + [
    [1, 10], [0, 1, 2, 98101], [-1, 0, 1], [-1, 1], [-2, 0], [2**40, 3], [255, 0, 1],
    [0.0, 1.0], [0.5, 1.0], [float("nan"), 0.0, 1.0], [float("inf"), 0.0], [True, False],
    ["cat", "dog"], ["", "cat", "dog"], ["cat", "Cat"], ["unlabelled", "cat"], ["0", "1"], [7], [],
]  # fmt: skip
SPOILT = [None] * 20 + [np.nan, np.inf, 1e38, -99999.0]
NAMES = [("x_train", "y_train", "x_test", "y_test"), ("x", "y", "x_test", "y_test")] * 15
NAMES += [("images", "labels", "x_test", "y_test"), ("a", "b", "c", "d"), ("X", "x", "y", "y_test")]


@st.composite
def arrays(draw) -> dict[str, np.ndarray]:
    """The arrays of a .npz file."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    shape = draw(st.sampled_from(SHAPES))
    x = rng.normal(size=(SIZE, *shape))
    if len(shape) > 1 and draw(st.booleans()):
        x = draw(st.sampled_from([1.0, 255.0])) * rng.uniform(size=x.shape)
        x = np.round(x) if draw(st.booleans()) else x
    elif x.size:
        columns = draw(st.sampled_from(["one", "each", "constant", "duplicate"]))
        scale = draw(st.sampled_from(SCALES))
        x = x * scale + draw(st.sampled_from(OFFSETS))
        if columns == "each":
            x[..., 0] = rng.normal(size=x[..., 0].shape)
        elif columns != "one":
            x[..., 0] = 7.0 if columns == "constant" else x[..., -1]
    if x.size and (value := draw(st.sampled_from(SPOILT))) is not None:
        x.flat[draw(st.integers(0, x.size - 1))] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of numbers that a type does not hold
        x = x.astype(draw(st.sampled_from(DTYPES[:2] * 4 + DTYPES)))
    known = draw(st.sampled_from(LABELS))
    y = np.array([known[i % len(known)] for i in range(SIZE)] if known else [])
    y = rng.permutation(y) if draw(st.booleans()) else y
    order = draw(st.sampled_from(["C", "F"]))
    x = np.asarray(x, order=order) if x.ndim else x
    values = [x, y]
    if draw(st.booleans()) and x.ndim:
        end = draw(st.sampled_from([8, SIZE, SIZE, SIZE, 0]))
        y_test = draw(st.sampled_from([y, y, y, y.astype(str)]))
        values += [
            draw(st.sampled_from([x, x, x, x, x[:, :1]]))[:end] if x.ndim > 1 else x,
            y_test[:end],
        ]
    return dict(zip(draw(st.sampled_from(NAMES)), values, strict=False))


HEADERS = ["a,b,label"] * 12 + ["a,kind,label"] * 4 + [
    "label,a,b", "a,b,Class", "a,b,y", "a,a,label", "a,b,label,label", "a,b,c", "1,2,3", "a,,label",
    "label", "", "a;b;label", '"a","b","label"', "a,b,label,class", " a , b , label ",
]  # fmt: skip
CELLS = ["1", "-2.5", "3e4", "0.25", "7", "1e-3"] * 8 + [
    "", "NA", "nan", "inf", "-inf", "1e400", "1,5", "abc", "True", "0x10", "1_000", '"2"', "-99999",
    "1e300", "2024-01-01", "é", " 4 ", "9" * 400,
]  # fmt: skip
KINDS = ["red", "blue", " green ", "", "?", "NA", "Red"]
ENDS = ["\n"] * 4 + ["\r\n", "\r"]


@st.composite
def text_tables(draw) -> tuple[str, bytes]:
    """The name of a file and its bytes: a table."""
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    header = draw(st.sampled_from(HEADERS))
    columns = header.split(",")
    known = [str(label) for label in draw(st.sampled_from(LABELS))] or [""]
    odd = draw(st.sampled_from([0.0, 0.0, 0.0, 0.02, 0.3]))
    names = ("label", "class", "y", "target")
    rows = []
    for i in range(draw(st.sampled_from([SIZE] * 6 + [0, 1, 3]))):
        cells = [
            known[i % len(known)]
            if column.strip(' "').lower() in names
            else str(rng.choice(KINDS))
            if column == "kind"
            else str(rng.choice(CELLS))
            if rng.uniform() < odd
            else f"{rng.normal():.4g}"
            for column in columns
        ]
        rows.append(cells if rng.uniform() > odd / 10 else cells[1:])
    separator, ending = draw(st.sampled_from([(",", ".csv")] * 6 + [("\t", ".tsv"), (";", ".csv")]))
    lines = [header.replace(",", separator), *[separator.join(row) for row in rows]]
    text = draw(st.sampled_from(ENDS)).join(lines) + draw(st.sampled_from(["", "\n", "\n\n"]))
    encoding = draw(st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1"]))
    content = text.encode(encoding, "replace")
    return f"own{ending}", content[: draw(st.sampled_from([None] * 12 + [0, 1, 17]))]


class Picture(NamedTuple):
    """What a file of a folder holds.

    Attributes:
      mode: of Pillow.
      size: width and height.
      seed: of its pixels.
      spoilt: "" or a way in which the file is no image.
    """

    mode: str
    size: tuple[int, int]
    seed: int
    spoilt: str


CLASSES = [["cat", "dog"]] * 6 + [
    ["cat"], ["cat", "Cat"], ["cat", "unlabelled"], ["cat", "dog", "__MACOSX"], ["cat", "@eaDir"],
    ["0", "1"], ["cat", "dog", "unlabeled"], ["cat", " "], ["un chat", "ein Hund", "é"],
]  # fmt: skip
PARTS = [["train", "test"]] * 3 + [["."]] * 3 + [["train"], ["training"], ["Train", "Test"]]
MODES = ["L", "RGB"] * 6 + ["RGBA", "LA", "P", "1", "I", "I;16", "F", "CMYK"]
SIZES = [(8, 8)] * 12 + [(8, 4), (9, 9), (1, 1), (600, 2)]
SPOILT_FILES = [""] * 24 + ["empty", "cut", "text"]
ENDINGS = [".png"] * 8 + [".PNG", ".bmp", ".tif", ".webp", ".jpg", ".gif", ".txt", ""]


@st.composite
def folders(draw) -> dict[str, Picture]:
    """Files by their paths: a folder of images."""
    classes, parts = draw(st.sampled_from(CLASSES)), draw(st.sampled_from(PARTS))
    modes = draw(st.lists(st.sampled_from(MODES), min_size=1, max_size=2))
    sizes = draw(st.lists(st.sampled_from(SIZES), min_size=1, max_size=2))
    endings = draw(st.lists(st.sampled_from(ENDINGS), min_size=1, max_size=2))
    spoilt = draw(st.sampled_from(SPOILT_FILES))
    prefix = draw(st.sampled_from([""] * 12 + ["._", ".", "below/"]))
    files = {}
    for part in parts:
        for name in classes:
            for i in range(draw(st.sampled_from([6] * 6 + [0, 1]))):
                path = f"{part}/{name}/{prefix}{i}{endings[i % len(endings)]}"
                mode, size = modes[i % len(modes)], sizes[i % len(sizes)]
                files[path] = Picture(mode, size, i, "" if files else spoilt)
    return files


def _write(path: Path, picture: Picture) -> None:
    rng = np.random.default_rng(picture.seed)
    width, height = picture.size
    image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
    if picture.mode == "I;16":
        image = Image.fromarray(rng.integers(0, 2**16, (height, width), dtype=np.uint16))
    elif picture.mode != "RGB":
        image = image.convert("L" if picture.mode in ("I", "F", "LA") else picture.mode)
        image = image.convert(picture.mode)
    try:
        image.save(path, format=None if path.suffix else "PNG")
    except (OSError, ValueError):  # a format that does not hold such images
        image.convert("RGB").save(path, format="PNG")
    content = path.read_bytes()
    spoilt = {"empty": b"", "cut": content[: len(content) // 2], "text": b"no image"}
    path.write_bytes(spoilt.get(picture.spoilt, content))


@cache
def _step(shape: tuple[int, ...], num_classes: int):
    """Parameters from examples and labels, and the loss, gradient and densities there, compiled."""
    config = ConfigDict({"data": {"name": "npz"}, "prior": {"means": "random"}})
    config.flow = dict(name="vector_realnvp", steps=1, hidden=(4,))
    if len(shape) == 3:
        config.flow = dict(name="glow", stages=((1, 1),), width=4)
    model = build(complete(config), Info(shape, num_classes, 256 if len(shape) == 3 else 0))

    def step(x, y):
        params = model.init(jax.random.key(0), x, y)
        gradient = jax.grad(lambda params: model.log_density(params, x).mean())(params)
        return params, gradient, model.log_density(params, x), model.class_log_density(params, x)

    return jax.jit(step)


def _data(name: str, path: Path) -> ConfigDict:
    return ConfigDict(
        dict(name=name, data_dir=str(path), label="", image_size=0, num_labels=-1, split_file="")
        | dict(split_seed=0, validation=0)
    )


def of_arrays(given_arrays: dict[str, np.ndarray], folder: Path, with_step: bool = False) -> str:
    """What becomes of arrays: TAKEN, REFUSED, or an AssertionError or another error."""
    path = folder / "own.npz"
    np.savez(path, **given_arrays)
    return _outcome(_data("npz", path), with_step)


def of_table(given_table: tuple[str, bytes], folder: Path, with_step: bool = False) -> str:
    """What becomes of a table, the name of its file and the bytes: as ``of_arrays``."""
    name, content = given_table
    path = folder / name
    path.write_bytes(content)
    return _outcome(_data("npz", path), with_step)


def of_folder(files: dict[str, Picture], folder: Path, with_step: bool = False) -> str:
    """What becomes of a folder of files, by their paths in it: as ``of_arrays``."""
    root = folder / "own"
    shutil.rmtree(root, ignore_errors=True)
    for name, picture in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, picture)
    return _outcome(_data("folder", root), with_step)


def _outcome(data: ConfigDict, with_step: bool) -> str:
    try:
        info = datasets.info(data)
        dataset = datasets.load(data)
        split = splits.make_split(dataset, data)
    except (InputError, FileNotFoundError) as error:
        assert "\n" not in str(error)
        assert data.data_dir in str(error) or "config.data" in str(error), error
        return REFUSED
    assert dataset.info == info
    assert np.isfinite(dataset.x_train).all() and np.isfinite(dataset.x_test).all()
    assert 0 < len(dataset.classes) == info.num_classes <= len(dataset.y_train)
    if not info.levels:
        varies = np.ptp(dataset.x_train, axis=0) > 0
        np.testing.assert_allclose(dataset.x_train.std(0)[varies], 1, rtol=0.01)
    assert all(
        "nan" not in line.lower() for line in describe.lines(describe.describe(dataset, split))
    )
    fits = not info.levels or not (info.shape[0] % 2 or info.shape[1] % 2)
    if with_step and info.num_classes < 5 and fits:
        x = dataset.x_train[np.arange(8) % len(dataset.x_train)].astype(np.float32)
        y = dataset.y_train[np.arange(8) % len(dataset.y_train)]
        x = x + 0.5 if info.levels else x
        for leaf in jax.tree.leaves(jax.device_get(_step(info.shape, info.num_classes)(x, y))):
            assert np.isfinite(leaf).all()
    return TAKEN
