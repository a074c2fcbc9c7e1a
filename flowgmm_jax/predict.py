"""Labels a file of examples with a trained or an exported model.

    python -m flowgmm_jax.predict MODEL FILE [--output=NEW.csv]

MODEL is the directory of a run, or a file of ``fg.export``. FILE is a table (.csv, .tsv, .parquet)
whose columns have the names of the training table's, in any order; a .npy file of examples as they
were stored for training; or a folder of images. The result is a table with a row for each example:
its row or file, the most probable class, its probability, and log p(x) in nats. What is missing,
unreadable or of another kind than the training examples gets a row without a class.
"""

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from flowgmm_jax import exported
from flowgmm_jax.compilation import keep_compiled_programs
from flowgmm_jax.data import folders, tables
from flowgmm_jax.data.columns import Column, features_of, filled
from flowgmm_jax.data.preprocessing import LEVELS
from flowgmm_jax.errors import InputError
from flowgmm_jax.exported import About, Exported
from flowgmm_jax.files import write_new
from flowgmm_jax.trained import load

BATCH = 250


class Examples(NamedTuple):
    """What a file holds.

    Attributes:
      name: of what the examples are called by: "row" or "file".
      names: (N,), of the examples.
      x: (N, ...), as the model takes them.
      is_bad: (N,), those that cannot be taken; x has anything there.
      notes: what was not used.
    """

    name: str
    names: Sequence
    x: np.ndarray
    is_bad: np.ndarray
    notes: Sequence[str] = ()


def open_model(path: Path) -> Exported:
    """A run or an exported file, as one function of raw examples."""
    if not path.exists():
        raise InputError(f"{path}: no such model, expected the directory of a run or an export")
    if path.is_file():
        return exported.open_exported(path)
    model, params = load(path)
    # Tables are standardised in float64 on the host, images are compiled with the rest.
    return Exported(lambda x: exported.outputs(model, params, x), exported.about(model))


# ------------------------------------------------------------------------------- examples


def read(path: Path, about: About) -> Examples:
    """The examples of a file or folder, as a model takes them.

    Raises:
      InputError: for a file that holds examples of another kind, in one line.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file")
    if path.is_dir():
        return _read_images(path, about)
    if path.suffix in tables.SUFFIXES:
        return _read_rows(path, about)
    if path.suffix == ".npy":
        return _read_array(path, about)
    kinds = ", ".join((*tables.SUFFIXES, ".npy"))
    raise InputError(f"{path}: expected one of {kinds}, or a folder of images")


def _read_rows(path: Path, about: About) -> Examples:
    frame = tables.read_frame(path)
    if about.levels:
        raise InputError(f"{path} is a table: expected images of shape {about.shape}")
    known = about.preprocessing.columns if about.preprocessing else ()
    columns = known or tuple(Column(name) for name in frame.columns)
    if missing := [column.name for column in columns if column.name not in frame.columns]:
        raise InputError(
            f"{path} has no column {missing[0]!r}: expected {', '.join(c.name for c in columns)}"
        )
    x = features_of(filled(tables.codes(frame, columns), columns), columns)
    if x.shape[1:] != about.shape:
        raise InputError(f"{path} has {x.shape[1]} columns, expected {about.shape[0]}")
    unused = [name for name in frame.columns if name not in {c.name for c in columns}]
    notes = [f"columns not used: {', '.join(unused)}"] if unused else []
    return Examples("row", range(len(x)), x, ~np.isfinite(x).all(axis=1), notes)


def _read_array(path: Path, about: About) -> Examples:
    try:
        # Never a pickled array, which may run any code, or an archive of arrays.
        with path.open("rb") as file:
            x = np.lib.format.read_array(file, allow_pickle=False)
    except Exception as error:  # a damaged file can raise almost anything
        raise InputError(f"{path}: expected one array ({error})") from error
    if about.levels and about.shape[-1] == 1 and x.ndim == len(about.shape):
        x = x[..., None]
    if x.dtype.kind not in "fiub" or x.shape[1:] != about.shape:
        expected = ", ".join(map(str, about.shape))
        raise InputError(f"{path} is {x.dtype} {x.shape}, expected numbers (N, {expected})")
    return Examples("row", range(len(x)), *_as_taken(x, about))


def _as_taken(x: np.ndarray, about: About) -> tuple[np.ndarray, np.ndarray]:
    """Examples of any type in the model's, and which have values that it does not take."""
    flat = x.reshape(len(x), -1)
    is_bad = ~np.isfinite(flat).all(axis=1)
    if not about.levels:
        return x, is_bad
    most = about.levels - 1 if about.dtype == "uint8" else 1
    is_bad |= ~((flat >= 0) & (flat <= most)).all(axis=1)
    if about.dtype == "uint8":
        is_bad |= (flat != np.floor(flat)).any(axis=1)
    x = np.where(is_bad.reshape(-1, *[1] * (x.ndim - 1)), 0, x)
    return x.astype(about.dtype), is_bad


def _read_images(path: Path, about: About) -> Examples:
    if not about.levels:
        raise InputError(f"{path} is a folder: expected vectors of {about.shape[0]} numbers")
    if about.levels != LEVELS:
        raise InputError(
            f"{path}: the model takes {about.levels} grey levels, expected one of {LEVELS} "
            "for a folder of images; pass a .npy file"
        )
    files, skipped = folders.list_images(path)
    fields = about.preprocessing
    first = bool(fields and fields.channels_first)
    shape = (*about.shape[1:], about.shape[0]) if first else about.shape
    x, is_bad = np.zeros((len(files), *shape), np.uint8), np.zeros(len(files), bool)
    for i, file in enumerate(files):
        try:
            x[i] = folders.pixels(file, shape, fields.image_size if fields else 0)
        except InputError:
            is_bad[i] = True
    if fields and fields.unit:
        x = np.float32(x) / (LEVELS - 1)
    names = [str(file.relative_to(path)) for file in files]
    return Examples("file", names, np.moveaxis(x, -1, 1) if first else x, is_bad, skipped)


# ----------------------------------------------------------------------------- prediction


def predict(model: Exported, x: np.ndarray) -> dict[str, np.ndarray]:
    """``outputs`` of examples x (N, ...), in batches of one size."""

    def parts() -> Iterator[dict[str, np.ndarray]]:
        for start in range(0, max(len(x), 1), BATCH):
            index = np.arange(start, start + BATCH)
            batch = x[np.minimum(index, len(x) - 1)]  # filled up, so that one program serves all
            found = jax.device_get(model.call(batch))
            yield {name: values[index < len(x)] for name, values in found.items()}

    found = list(parts())
    return {name: np.concatenate([part[name] for part in found]) for name in found[0]}


def table_of(examples: Examples, found: dict[str, np.ndarray], classes: Sequence[str]) -> str:
    """The result as the text of a .csv file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    has_density = "log_density" in found
    writer.writerow([examples.name, "class", "probability"] + ["log_density"] * has_density)
    for i, name in enumerate(examples.names):
        row = ["", "", ""]
        if not examples.is_bad[i]:
            k = int(found["posterior"][i].argmax())
            density = f"{found['log_density'][i]:.6g}" if has_density else ""
            row = [classes[k], f"{found['posterior'][i, k]:.6g}", density]
        writer.writerow([name, *row[: 2 + has_density]])
    return text.getvalue()


def label_file(model_path: Path, path: Path, output: Path, say: Callable[[str], None]) -> None:
    """Reads, labels and writes; ``say`` is given what people should know, a line each."""
    if output.exists():
        raise InputError(f"{output} exists: expected the name of a new file, see --output")
    model = open_model(model_path)
    examples = read(path, model.about)
    if not len(examples.x):
        raise InputError(f"{path} holds no examples")
    for note in examples.notes:
        say(f"note: {note}")
    found = predict(model, examples.x)
    is_bad = examples.is_bad | ~np.isfinite(found["posterior"]).all(axis=1)
    examples = examples._replace(is_bad=is_bad)
    write_new(output, table_of(examples, found, model.about.classes).encode())
    if is_bad.any():
        first = examples.names[int(is_bad.argmax())]
        say(
            f"{is_bad.sum()} of {len(is_bad)} have no class, since values are missing, unreadable "
            f"or not such as in training: the first is {examples.name} {first}"
        )
    say(f"{(~is_bad).sum()} examples labelled: {output}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m flowgmm_jax.predict", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("model", type=Path, help="directory of a run, or a file of fg.export")
    parser.add_argument("file", type=Path, help="a table, a .npy file or a folder of images")
    parser.add_argument("--output", type=Path, help="a new .csv file; default: FILE.predicted.csv")
    options = parser.parse_args(arguments)
    output = options.output or Path(f"{options.file}.predicted.csv")
    keep_compiled_programs()
    try:
        label_file(options.model, options.file, output, lambda line: print(line, file=sys.stderr))
    except (InputError, ModuleNotFoundError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
