"""Tables as people have them: words, missing values, constant columns, CSV and Parquet."""

import json

import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict

from flowgmm_jax.data import datasets, describe, splits
from flowgmm_jax.data.columns import Column
from flowgmm_jax.data.preprocessing import from_json
from flowgmm_jax.errors import InputError

RNG = np.random.default_rng(0)
COLOURS = np.array(["blue", "green", "red"])


def frame(rows=40):
    return pd.DataFrame(
        {
            "age": RNG.normal(40, 10, rows).round(1),
            "colour": COLOURS[np.arange(rows) % 3],
            "smokes": np.arange(rows) % 2 == 0,
            "site": "A",
            "class": np.where(np.arange(rows) % 2, "ill", "well"),
        }
    )


def own(path):
    return ConfigDict(
        dict(name="csv", data_dir=str(path), label="", image_size=0, num_labels=-1)
        | dict(split_file="", split_seed=0, validation=0)
    )


def write(table, path):
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return own(path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_words_become_indicators(tmp_path, suffix):
    data = write(frame(), tmp_path / f"own.{suffix}")
    dataset = datasets.load(data)
    assert dataset.info == datasets.info(data) == datasets.Info((5,), 2, 0)
    assert dataset.classes == ("ill", "well")
    # No other row is like the mean of a column of indicators: the values are 0 and 1, scaled.
    assert [len(np.unique(column)) for column in dataset.x_train.T[1:]] == [2, 2, 2, 1]
    assert dataset.source.constant == ("site=A",)
    kept = dataset.source.preprocessing
    assert kept.columns == (
        Column("age"),
        Column("colour", ("blue", "green", "red")),
        Column("smokes"),
        Column("site", ("A",)),
    )
    assert from_json(json.loads(json.dumps(kept._asdict()))) == kept
    text = "\n".join(describe.lines(describe.describe(dataset, splits.make_split(dataset, data))))
    assert "column colour: 3 words, as indicators" in text
    assert "constant columns: site=A" in text


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_missing_values_are_filled_and_said(tmp_path, suffix):
    table = frame()
    table.loc[[3, 5], "age"] = np.nan
    table["colour"] = table["colour"].astype(object)
    table.loc[4, "colour"] = None
    table.loc[7, "class"] = None
    table["empty"] = np.nan
    dataset = datasets.load(write(table, tmp_path / f"own.{suffix}"))
    assert np.isfinite(dataset.x_train).all() and np.isfinite(dataset.x_test).all()
    assert (dataset.y_train == -1).sum() == 1
    notes = " | ".join(dataset.source.notes)
    assert "column age: 2 missing values, taken as the median, " in notes
    assert "column colour: 1 missing values, taken as the most frequent word, " in notes
    assert "column empty: no values, taken as constant" in notes
    assert "empty" in dataset.source.constant


def test_what_fills_a_gap_is_of_the_training_rows(tmp_path):
    table = frame()
    table.loc[3, "age"] = np.nan
    write(table, tmp_path / "train.parquet")
    write(table.assign(age=1000.0), tmp_path / "test.csv")
    dataset = datasets.load(own(tmp_path))
    fill = dataset.source.preprocessing.columns[0].fill
    assert fill in table["age"].to_numpy() and len(dataset.x_test) == 40


def test_the_test_set_has_no_other_words_and_no_other_gaps(tmp_path):
    table = frame()
    write(table, tmp_path / "train.csv")
    for column, value in (("colour", "purple"), ("age", np.nan)):
        odd = table.copy()
        odd.loc[4, column] = value
        write(odd, tmp_path / "test.csv")
        with pytest.raises(InputError, match=f"column '{column}' has 1 values .* in row 5: "):
            datasets.load(own(tmp_path))
    # Another word is no gap, so that it is not filled in where gaps are.
    gaps = table.assign(age=table["age"].where(table.index > 0).astype(object))
    gaps["colour"] = gaps["colour"].where(gaps.index > 0)
    write(gaps, tmp_path / "train.csv")
    for column in ("colour", "age"):
        odd = gaps.copy()
        odd.loc[4, column] = "purple"
        write(odd, tmp_path / "test.csv")
        with pytest.raises(InputError, match=f"column '{column}' has 1 values .* in row 5: "):
            datasets.load(own(tmp_path))
    write(table, tmp_path / "test.parquet")
    with pytest.raises(InputError, match=r"test.csv, test.parquet: expected one table for test"):
        datasets.load(own(tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": [f"person {i}" for i in range(40)]}, "'name' holds 40 different words"),
        ({"day": pd.date_range("2024-01-01", periods=40)}, "'day' holds values of type Timestamp"),
        ({"age": ["12"] * 39 + ["old"]}, "'age' holds words, such as 'old', among numbers"),
        ({"age": [[1, 2]] * 40}, "'age' holds values of type"),
        ({"class": np.arange(40) / 7}, "label 0.142857: expected classes"),
    ],
)
def test_what_is_neither_number_nor_category_is_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message) as caught:
        datasets.load(write(frame().assign(**change), tmp_path / "own.parquet"))
    assert "own.parquet" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "own.parquet").write_text("no table")
    with pytest.raises(InputError, match="own.parquet: cannot be read as a table"):
        datasets.load(own(tmp_path / "own.parquet"))


@pytest.mark.parametrize("labels", [[10, 500], [10.0, 500.0], [True, False]])
def test_labels_of_parquet_are_the_values_that_occur(tmp_path, labels):
    table = frame().assign(**{"class": np.array(labels)[np.arange(40) % 2]})
    dataset = datasets.load(write(table, tmp_path / "own.parquet"))
    assert dataset.info.num_classes == 2
    assert set(dataset.classes) == {
        str(np.array(label).item()).removesuffix(".0") for label in labels
    }
