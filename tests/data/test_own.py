"""Hostile arrays, tables and labels: the right values, or one line; and a model of raw data."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

import flowgmm_jax as fg
from flowgmm_jax.config import complete
from flowgmm_jax.data import arrays, datasets, describe, labels, splits
from flowgmm_jax.data.preprocessing import Preprocessing, from_json
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.raw import taking_raw

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(40, 2))
Y = np.arange(40) % 2
IMAGES = RNG.integers(0, 256, (40, 6, 5, 3), np.uint8)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGMM_CACHE", str(tmp_path / "cache"))


def own(path, **fields):
    defaults = {"name": "npz", "split_seed": 0, "label": "", "image_size": 0, "num_labels": -1}
    defaults |= {"split_file": "", "validation": 0}
    return ConfigDict(defaults | {"data_dir": str(path)} | fields)


def load(tmp_path, **given):
    path = tmp_path / "own.npz"
    np.savez(path, **given)
    return datasets.load(own(path))


# ------------------------------------------------------------------------------- columns


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e-12, 1e12, 1e30, 1e300])
@pytest.mark.parametrize("offset", [0.0, 1e7, -1e12])
def test_a_column_is_the_same_in_any_unit(tmp_path, scale, offset):
    base = load(tmp_path, x=VECTORS, y=Y, x_test=VECTORS[:9], y_test=Y[:9])
    x = (VECTORS + np.array([offset, 0])) * [1, scale]
    changed = load(tmp_path, x=x, y=Y, x_test=x[:9], y_test=Y[:9])
    digits = 1e-15 * max(1.0, abs(offset))
    for name in ("x_train", "x_test"):
        ours, theirs = (getattr(dataset, name) for dataset in (changed, base))
        np.testing.assert_allclose(ours, theirs, atol=1e-3 + 10 * digits)
        assert np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1] > 1 - 1e-6
        assert ours.std(0) == pytest.approx(theirs.std(0), rel=1e-3)


def test_values_beyond_float32_are_no_error(tmp_path):
    x = VECTORS * [1e300, 1]
    x[0, 0], x[1, 0] = 1.7e308, -1.7e308
    dataset = load(tmp_path, x=x, y=Y, x_test=x, y_test=Y)
    assert np.abs(dataset.x_train).max() < 10
    assert np.isfinite(dataset.source.preprocessing.log_volume)


def test_constant_columns_are_named_and_left(tmp_path):
    x = np.concatenate([VECTORS, np.full((40, 1), 1e20)], 1)
    dataset = load(tmp_path, x=x, y=Y)
    assert dataset.source.constant == ("2",)
    assert not dataset.x_train[:, 2].any()


def test_the_order_of_examples_changes_no_bit(tmp_path):
    x = VECTORS * [1e-3, 1e5] + [1e6, 0]
    order = RNG.permutation(40)
    one = load(tmp_path, x=x, y=Y, x_test=x, y_test=Y)
    other = load(tmp_path, x=x[order], y=Y[order], x_test=x, y_test=Y)
    assert one.source.preprocessing == other.source.preprocessing
    np.testing.assert_array_equal(one.x_train[order], other.x_train)


def test_a_value_that_swallows_the_others_is_refused(tmp_path):
    x = VECTORS.copy()
    x[3, 1] = 1e20
    with pytest.raises(
        InputError, match=r"column 1 has values so far .* keeps \d of \d+ different"
    ):
        load(tmp_path, x=x, y=Y, x_test=x, y_test=Y)


def test_codes_for_missing_values_are_noted(tmp_path):
    x = RNG.normal(size=(600, 2))
    x[3, 1] = -99999
    dataset = load(tmp_path, x=x, y=np.arange(600) % 2)
    assert "column 1: a few values are" in dataset.source.notes[0]


@pytest.mark.parametrize(
    "dtype", ["int8", "int64", "uint16", "bool", "float16", ">f8", "<f4", "longdouble"]
)
def test_tables_of_any_number(tmp_path, dtype):
    x = (VECTORS > 0 if dtype == "bool" else 10 * np.abs(VECTORS)).astype(dtype)
    dataset = load(tmp_path, x=x, y=Y, x_test=x, y_test=Y)
    kept = x.astype(float)
    expected = (kept - kept.mean(0)) / kept.std(0)
    np.testing.assert_allclose(dataset.x_train, expected, atol=2e-3)


def test_a_missing_value_is_found_and_its_place_named(tmp_path):
    x = VECTORS.copy()
    x[7, 1] = np.nan
    with pytest.raises(InputError, match=r"in row 7 and column 1, is missing \(NaN\)"):
        load(tmp_path, x=x, y=Y, x_test=x, y_test=Y)


# -------------------------------------------------------------------------------- images


@pytest.mark.parametrize(
    ("stored", "fields"),
    [
        (IMAGES, {}),
        (IMAGES.astype(np.int64), {}),
        (IMAGES.astype(np.float64), {}),
        ((IMAGES / 255).astype(np.float32), {"unit": True}),
        (IMAGES / 255, {"unit": True}),
        (IMAGES.transpose(0, 3, 1, 2), {"channels_first": True}),
        (IMAGES.transpose(0, 3, 1, 2) / 255, {"channels_first": True, "unit": True}),
    ],
    ids=["uint8", "int64", "whole floats", "float32", "float64", "first", "first in [0, 1]"],
)
def test_images_as_people_have_them(tmp_path, stored, fields):
    dataset = load(tmp_path, images=stored, labels=Y, test_images=stored[:4], test_labels=Y[:4])
    assert dataset.source.preprocessing == Preprocessing(**fields)
    assert dataset.info == datasets.info(own(tmp_path / "own.npz"))
    assert dataset.info.shape == (6, 5, 3)
    np.testing.assert_array_equal(dataset.x_train, IMAGES)
    np.testing.assert_array_equal(dataset.x_test, IMAGES[:4])


def test_truth_values_are_black_and_white(tmp_path):
    dataset = load(tmp_path, x=IMAGES[..., 0] > 127, y=Y)
    assert np.unique(dataset.x_train).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (IMAGES.astype(np.int64) - 1, "grey levels -1 to 254: expected 0 to 255"),
        (IMAGES * np.uint16(256), "grey levels 0 to 65280"),
        (IMAGES / 127.5 - 1, "values -1 to 1: expected images of whole grey levels"),
        (np.minimum(IMAGES, 1), "no grey level above 1"),
        (np.where(IMAGES == 7, np.nan, IMAGES), "not finite"),
        (IMAGES[:, :2, :2, :2], r"shape \(40, 2, 2, 2\): expected images"),
    ],
    ids=["negative", "16 bit", "[-1, 1]", "0 and 1", "nan", "2 x 2 x 2"],
)
def test_images_that_can_be_read_in_two_ways_are_refused(tmp_path, x, message):
    with pytest.raises(InputError, match=message) as caught:
        load(tmp_path, x=x, y=Y)
    assert "\n" not in str(caught.value)


def test_test_images_of_another_range_are_refused(tmp_path):
    with pytest.raises(InputError, match="x_test has values 0 to 255: expected values 0 to 1"):
        load(tmp_path, x=IMAGES / 255, y=Y, x_test=1.0 * IMAGES, y_test=Y)
    with pytest.raises(InputError, match="x_test has values 0 to 1: expected whole grey levels"):
        load(tmp_path, x=1.0 * IMAGES, y=Y, x_test=IMAGES / 255, y_test=Y)


# -------------------------------------------------------------------------------- labels


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ([1, 10, 10, -1], ("1", "10")),
        ([10, 500, 500, -1], ("10", "500")),
        ([98101, 0, 1, -1], ("0", "1", "98101")),
        ([2**40, 0, 1, -1], ("0", "1", str(2**40))),
        ([10.0, 2.0, 2.0, np.nan], ("2", "10")),
        ([True, False, True, False], ("False", "True")),
        (["dog", "cat ", "cat", ""], ("cat", "dog")),
        ([b"dog", b"cat", b"cat", b""], ("cat", "dog")),
        ([[3], [4], [3], [-1]], ("3", "4")),
    ],
)
def test_classes_are_the_labels_that_occur(given, names):
    y, found = labels.encode(np.array(given), 4, "y")
    assert found == names
    values = [str(v) for v in np.array(given).ravel().astype(str)]
    for number, value in zip(y, values, strict=True):
        expected = value.strip().removesuffix(".0")
        assert expected == found[number] if number >= 0 else expected in ("", "-1", "nan")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.array([0, 1, 2, -1]).astype(np.uint8), "label 255, which is -1 in a type without"),
        (np.array([0, 1, 2, -1]).astype(np.uint32).astype(int), "label 4294967295, which is -1"),
        (np.array([-1, 1, 1, -1]), "labels -1 and 1: -1 means unknown"),
        (np.array([0, 1, -2, 3]), "label -2: expected -1"),
        (np.array([0.5, 1, 2, 3]), "label 0.5: expected classes"),
        (np.array([np.inf, 1, 2, 3]), "label inf: expected classes"),
        (np.array(["a", "Unlabelled", "b", "b"]), "'Unlabelled': expected '' where"),
        (np.array(["a", "nan", "b", "b"]), "'nan': expected '' where"),
        (np.array(["cat", "Cat", "b", "b"]), "'Cat' and 'cat': expected one"),
        (np.array([b"\xff", b"a", b"a", b"a"]), "no text"),
        (np.array([1j, 1, 1, 1]), "is complex128; expected integers"),
        (np.array(["2020-01-01"] * 4, "M8[D]"), r"is datetime64\[D\]; expected integers"),
        (np.eye(4), r"\(4, 4\); expected one label"),
        (np.full(4, np.nan), "no known label"),
    ],
)
def test_doubtful_labels_are_refused(given, message):
    with pytest.raises(InputError, match=message):
        labels.encode(given, 4, "y")


def test_quantities_are_no_classes():
    with pytest.raises(InputError, match="500 different labels in 500 examples"):
        labels.encode(np.arange(500), 500, "y")


def test_a_test_set_has_no_class_of_its_own_and_none_unknown():
    y, _ = labels.encode(np.array(["b", "b", "a"]), 3, "y_test", ("a", "b", "c"))
    assert y.tolist() == [1, 1, 0]
    with pytest.raises(InputError, match="class 'd', which no training example has: .*'a', 'b'"):
        labels.encode(np.array(["d", "b", "a"]), 3, "y_test", ("a", "b", "c"))


# -------------------------------------------------------------------------------- arrays


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("x_train", "x_train"), ("X_train", "x_train"), ("train_images", "x_train"),
        ("x", "x_train"), ("data", "x_train"), ("testing_labels", "y_test"), ("target", "y_train"),
        ("x_val", None), ("arr_0", None), ("index", None), ("x_train_test", None), ("xy", None),
    ],
)  # fmt: skip
def test_an_array_is_for_what_its_name_says(name, role):
    assert arrays.role_of(name) == role


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("arr_0", "arr_1"), "no 'x_train', found arr_0, arr_1"),
        (("x", "X_train", "y"), "x and X_train are for the same"),
    ],
)
def test_arrays_that_are_for_nothing_or_for_the_same_are_named(tmp_path, names, message):
    with pytest.raises(InputError, match=message):
        load(tmp_path, **dict.fromkeys(names, VECTORS))


def test_arrays_that_are_not_used_are_noted(tmp_path):
    assert load(tmp_path, x=VECTORS, y=Y, x_val=VECTORS).source.notes == ("array x_val",)


def test_one_file_of_embeddings_has_its_labels_beside_it(tmp_path):
    np.save(tmp_path / "embeddings.npy", VECTORS)
    with pytest.raises(InputError, match="no 'y_train', found embeddings"):
        datasets.load(own(tmp_path / "embeddings.npy"))
    np.save(tmp_path / "labels.npy", Y)
    assert len(datasets.load(own(tmp_path / "embeddings.npy")).x_train) == 32


def test_only_images_of_a_folder_are_scaled(tmp_path):
    np.savez(tmp_path / "own.npz", x=VECTORS, y=Y)
    with pytest.raises(InputError, match="config.data.image_size is 8, expected 0"):
        datasets.load(own(tmp_path / "own.npz", image_size=8))


# -------------------------------------------------------------------------------- tables

TABLE = "a,label,b\n" + "".join(f"{i},{'cat' if i % 2 else 'dog'},{i * i}\n" for i in range(20))


def write(tmp_path, text, name="own.csv"):
    (tmp_path / name).write_text(text)
    return tmp_path / name


def test_a_table(tmp_path):
    path = write(tmp_path, TABLE.replace("3,cat,9", "3,,9"))
    dataset = datasets.load(own(path, name="csv"))
    assert dataset.info == datasets.info(own(path)) == datasets.Info((2,), 2, 0)
    assert dataset.source.classes == ("cat", "dog")
    assert (dataset.y_train == -1).sum() == 1
    spaced = write(tmp_path, TABLE.replace("a,label,b", "a , label , b "))
    assert datasets.load(own(spaced)).source.classes == ("cat", "dog")


def test_labels_of_a_table_are_numbers_only_if_they_are_written_so(tmp_path):
    numbers = TABLE.replace("cat", "10").replace("dog", "2")
    assert datasets.load(own(write(tmp_path, numbers))).source.classes == ("2", "10")
    codes = TABLE.replace("cat", "010").replace("dog", "3b")
    assert datasets.load(own(write(tmp_path, codes))).source.classes == ("010", "3b")
    missing = TABLE.replace("cat", "NA")
    with pytest.raises(InputError, match="'NA': expected '' where it is unknown"):
        datasets.load(own(write(tmp_path, missing)))


def test_another_column_may_hold_the_class(tmp_path):
    path = write(tmp_path, TABLE.replace("label", "species"))
    with pytest.raises(
        InputError, match="--config.data.label=NAME; the columns are 'a', 'species'"
    ):
        datasets.load(own(path))
    assert datasets.load(own(path, label="species")).source.classes == ("cat", "dog")
    with pytest.raises(InputError, match="config.data.label is 'kind': expected a column of"):
        datasets.load(own(path, label="kind"))


def test_a_folder_of_tables(tmp_path):
    write(tmp_path, TABLE, "train.csv")
    write(tmp_path, TABLE, "test.csv")
    dataset = datasets.load(own(tmp_path))
    assert (len(dataset.x_train), len(dataset.x_test)) == (20, 20)
    write(tmp_path, TABLE.replace("b\n", "c\n", 1), "test.csv")
    with pytest.raises(
        InputError, match="test.csv: its columns are not those of the training table, see b"
    ):
        datasets.load(own(tmp_path))


def test_numbers_of_rows_are_no_column(tmp_path):
    rows = TABLE.splitlines()
    numbered = [f",{rows[0]}", *[f"{i},{row}" for i, row in enumerate(rows[1:])]]
    dataset = datasets.load(own(write(tmp_path, "\n".join(numbered))))
    assert dataset.info.shape == (2,)
    assert "numbers of rows" in dataset.source.notes[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as a table"),
        ("1,2,3\n4,5,6\n", "the first row holds numbers"),
        (TABLE.replace(",", ";"), "0 columns are called"),
        (TABLE.replace("3,cat,9", "3,cat,many"), "column 'b' holds words, such as 'many'"),
        (TABLE.replace("3,cat,9", "3,cat,9,9"), "cannot be read as a table"),
        (TABLE.replace("0,dog,0", "0,dog,0,7"), "a row has more cells than the first row .*, 3"),
        ("a,b,label\n" + "1,2,cat\n3,4,dog\n" * 9 + "5,6", "row 19 has 2 cells, expected 3"),
        (TABLE.replace("3,cat,9", "3,unlabelled,9"), "label 'unlabelled'"),
        (TABLE.replace("a,label", "class,label"), "2 columns are called"),
        ("label,a\n", "0 rows"),
        ("label\ncat\n", "1 rows of 0 numbers"),
        (
            TABLE.replace("3,cat,9", "3,cat,inf"),
            "x_train has .* in row 3 and column 1, is infinite",
        ),
    ],
)
def test_a_table_that_cannot_be_taken_is_one_line(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        datasets.load(own(write(tmp_path, text)))
    assert "\n" not in str(caught.value) and "own.csv" in str(caught.value)


# --------------------------------------------------------------------------- description


def test_what_was_understood_is_described(tmp_path):
    y = np.array(["cat", "dog", "", "dog"] * 10)
    dataset = load(
        tmp_path, x=VECTORS * [1, 1e9], y=y, x_test=VECTORS[:3], y_test=y[:2].repeat(2)[:3]
    )
    data = own("", num_labels=4)
    found = describe.describe(dataset, splits.make_split(dataset, data))
    assert found.classes == {"cat": 10, "dog": 20}
    assert (found.train, found.test, found.unknown) == (40, 3, 10)
    assert (found.labeled, found.unlabeled) == (4, 36)
    assert from_json(json.loads(json.dumps(dataset.source.preprocessing._asdict()))) == (
        dataset.source.preprocessing
    )
    text = "\n".join(describe.lines(found))
    assert "vectors of 2 numbers, float64" in text
    assert "2 classes: cat (10), dog (20); 10 labels are unknown" in text


# ---------------------------------------------------------------- a model takes raw data


def train(tmp_path, steps=2, **given):
    np.savez(tmp_path / "own.npz", **given)
    config = ConfigDict()
    config.data = dict(name="npz", data_dir=str(tmp_path / "own.npz"), num_labels=-1)
    config.flow = dict(name="vector_realnvp", steps=1, hidden=(4,))
    config.prior = dict(means="circle")
    config.train = dict(steps=steps, batch_labeled=4, batch_unlabeled=4)
    result = fg.train(complete(config), tmp_path / "run")
    return result, *fg.load(tmp_path / "run")


def test_a_loaded_model_takes_raw_vectors(tmp_path, capsys):
    x = VECTORS * [1e-6, 1e6] + [0, 1e9]
    y = np.array(["cat", "dog"])[Y]
    result, model, params = train(tmp_path, x=x, y=y, x_test=x, y_test=y)
    assert "2 classes: cat (20), dog (20)" in capsys.readouterr().out
    assert model.classes == ("cat", "dog")
    log_density = np.asarray(model.log_density(params, x), np.float64)
    assert result.bits_per_dim == pytest.approx(-log_density.mean() / 2 / np.log(2), rel=1e-4)
    predicted = np.asarray(model.classify(params, x))
    assert result.accuracy == pytest.approx(100 * np.mean(predicted == Y))
    back = model.decode(params, model.encode(params, x))
    np.testing.assert_allclose((back - x) / x.std(0), 0, atol=1e-4)
    samples = model.sample(params, jax.random.key(0), jnp.array([0, 1, 1]))
    assert np.all(np.abs((samples - x.mean(0)) / x.std(0)) < 10)
    # The density is one of raw vectors: its integral over a grid is that of standardised ones.
    traced = jax.jit(model.log_density)(params, jnp.asarray(x - [0, 1e9], jnp.float32))
    assert traced.shape == (40,)
    with pytest.raises(InputError, match=r"x has shape \(3, 4\), expected \(batch, 2\)"):
        model.log_density(params, np.zeros((3, 4)))
    facts = json.loads((tmp_path / "run" / "data.json").read_text())
    assert facts["description"]["classes"] == {"cat": 20, "dog": 20}


def test_a_model_takes_images_as_they_are_stored(tmp_path):
    x = IMAGES.transpose(0, 3, 1, 2) / 255
    dataset = load(tmp_path, x=x, y=Y)
    sees = Model(None, None, lambda params, x: x, decode=lambda params, z: z)
    model = taking_raw(sees, dataset.source.preprocessing, dataset.info.shape)
    for stored in (x, jnp.asarray(x, jnp.float32)):
        seen = model.class_log_density(None, stored)
        np.testing.assert_allclose(seen, IMAGES + 0.5, rtol=1e-6)
        np.testing.assert_allclose(model.decode(None, seen), x, atol=1e-6)
