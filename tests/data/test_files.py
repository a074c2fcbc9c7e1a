"""A user's own .npz file or folder of images, and everything that can be wrong with it."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from flowgmm_jax.data import datasets


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGMM_CACHE", str(tmp_path / "cache"))


def config(name, data_dir):
    return ConfigDict({"name": name, "data_dir": str(data_dir), "split_seed": 0})


def images(size, shape=(6, 5), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (size, *shape), np.uint8)


def npz(folder, **arrays):
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return config("npz", path)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3)])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_images(tmp_path, shape, save):
    x, y = images(12, shape), np.arange(12) % 3
    save(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    data = config("npz", tmp_path / "data.npz")
    dataset = datasets.load(data)
    assert dataset.info == datasets.info(data) == datasets.Info((*shape, 1)[:3], 3, 256)
    np.testing.assert_array_equal(dataset.x_train, x.reshape(12, *dataset.info.shape))
    np.testing.assert_array_equal(dataset.y_test, y[:4])


def test_vectors_become_standardised_float32(tmp_path):
    x = np.random.default_rng(0).normal(size=(12, 7))
    y = np.array([0, 1, -1] * 4)
    data = npz(tmp_path, x_train=x, y_train=y, x_test=x[:2], y_test=y[:2])
    dataset = datasets.load(data)
    assert dataset.info == datasets.info(data) == datasets.Info((7,), 2, 0)
    assert dataset.x_train.dtype == np.float32
    np.testing.assert_allclose(dataset.x_train, (x - x.mean(0)) / x.std(0), atol=1e-3)
    np.testing.assert_array_equal(dataset.y_train, y)


def test_a_fifth_is_held_out_whatever_the_order(tmp_path):
    x, y = images(40), np.array([0, 1, 1, -1] * 10)
    dataset = datasets.load(npz(tmp_path, x_train=x, y_train=y))
    assert np.bincount(dataset.y_test).tolist() == [2, 4]
    assert len(dataset.y_train) == 34 and (dataset.y_train == -1).sum() == 10
    shuffled = np.random.default_rng(1).permutation(40)
    again = datasets.load(npz(tmp_path, x_train=x[shuffled], y_train=y[shuffled]))
    assert {a.tobytes() for a in dataset.x_test} == {a.tobytes() for a in again.x_test}


GOOD = {"x_train": images(10), "y_train": np.arange(10) % 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.full((10, 6, 5), 0.5) - np.eye(6, 5)}, "values -0.5 to 0.5: expected im"),
        ({"x_train": np.full((10, 6, 5), 300)}, "grey levels 300 to 300: expected 0 to 255"),
        ({"x_train": np.zeros((10, 6, 5), int)}, "no grey level above 0, all images would be bl"),
        ({"x_train": np.ones((10, 7, 6, 5), np.uint8)}, r"shape \(10, 7, 6, 5\): expected images"),
        ({"x_train": np.ones(10)}, r"x_train is float64 \(10,\).*or vectors"),
        ({"x_train": np.ones((10, 2), complex)}, "x_train is complex128.*or vectors"),
        ({"x_train": np.full((10, 2), np.nan)}, "x_train has values that are not finite"),
        ({"x_train": np.ones((10, 2))}, "x_train: all columns are constant"),
        ({"x_train": np.array([{}] * 10)}, "allow_pickle=False"),
        ({"y_train": np.full(10, 0.5)}, "y_train has the label 0.5: expected classes"),
        ({"y_train": np.zeros((10, 2), int)}, r"y_train is int64 \(10, 2\)"),
        ({"y_train": np.zeros(9, int)}, r"y_train is int64 \(9,\); expected one label.*\(10,\)"),
        ({"y_train": np.full(10, -1)}, "y_train has no known label"),
        ({"y_train": np.array([-2] * 5 + [0] * 5)}, "y_train has the label -2: expected -1"),
        ({"y_train": np.arange(10)}, "no test set, and no class has the 5 labelled"),
        ({"x_test": images(2)}, "y_test"),
        ({"x_test": images(2), "y_test": np.array([0, 2])}, "y_test has the class '2', which no"),
        ({"x_test": images(2), "y_test": np.array([0, -1])}, "y_test has 1 unknown labels"),
        ({"x_test": images(2, (5, 5)), "y_test": np.array([0, 1])}, r"x_test is uint8 \(2, 5, 5"),
    ],
)
def test_what_is_wrong_with_an_npz_file_is_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        datasets.load(npz(tmp_path, **GOOD | change))
    assert "data.npz" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["x_train", "y_train"])
@pytest.mark.parametrize("read", [datasets.load, datasets.info])
def test_a_missing_array_is_named(tmp_path, missing, read):
    arrays = {name: array for name, array in GOOD.items() if name != missing}
    with pytest.raises(ValueError, match=f"expected a .npz file with arrays.*{missing}"):
        read(npz(tmp_path, **arrays))


@pytest.mark.parametrize("read", [datasets.load, datasets.info])
def test_a_file_that_is_no_npz_is_refused(tmp_path, read):
    path = tmp_path / "data.npz"
    path.write_bytes(b"not a zip archive")
    with pytest.raises(ValueError, match="data.npz: expected a .npz file"):
        read(config("npz", path))
    with pytest.raises(FileNotFoundError, match="config.data.data_dir='': no such file"):
        read(config("npz", ""))


def write_images(folder, pixels):
    folder.mkdir(parents=True)
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index}.png")


@pytest.mark.parametrize(("shape", "channels"), [((6, 5), 1), ((6, 5, 3), 3)])
def test_a_folder_with_train_and_test(tmp_path, shape, channels):
    root = tmp_path / "own"
    write_images(root / "train" / "dog", images(3, shape))
    write_images(root / "train" / "cat", images(2, shape, seed=1))
    write_images(root / "train" / "unlabeled", images(4, shape, seed=2))
    write_images(root / "test" / "dog", images(2, shape, seed=3))
    (root / "train" / "dog" / "notes.txt").write_text("no image")
    (root / "train" / "dog" / "._0.png").write_text("of a file manager")
    data = config("folder", root)
    dataset = datasets.load(data)
    assert dataset.info == datasets.info(data) == datasets.Info((6, 5, channels), 2, 256)
    assert dataset.y_train.tolist() == [0, 0, 1, 1, 1, -1, -1, -1, -1]
    assert dataset.y_test.tolist() == [1, 1]
    np.testing.assert_array_equal(dataset.x_train[2:5], images(3, shape).reshape(3, 6, 5, -1))

    write_images(root / "train" / "ape", images(1, shape, seed=4))
    assert datasets.load(data).y_test.tolist() == [2, 2], "labels must not come from the cache"


def test_a_folder_of_classes_alone(tmp_path):
    write_images(tmp_path / "own" / "a", images(10))
    write_images(tmp_path / "own" / "b", images(5, seed=1))
    dataset = datasets.load(config("folder", tmp_path / "own"))
    assert np.bincount(dataset.y_test).tolist() == [2, 1]
    assert np.bincount(dataset.y_train).tolist() == [8, 4]


def test_the_first_odd_image_is_named(tmp_path):
    write_images(tmp_path / "own" / "a", [*images(2), *images(1, (6, 7))])
    with pytest.raises(ValueError, match=r"a/2.png: image is \(6, 7, 1\); expected.*\(6, 5, 1\)"):
        datasets.load(config("folder", tmp_path / "own"))


def test_grey_and_colour_are_not_mixed(tmp_path):
    write_images(tmp_path / "own" / "a", [*images(2), *images(1, (6, 5, 3))])
    with pytest.raises(ValueError, match=r"a/2.png: image is \(6, 5, 3\)"):
        datasets.load(config("folder", tmp_path / "own"))


def test_damaged_and_16_bit_images_are_named(tmp_path):
    write_images(tmp_path / "own" / "a", images(1))
    odd = tmp_path / "own" / "a" / "odd.png"
    odd.write_bytes(b"no image")
    with pytest.raises(ValueError, match="odd.png: cannot be read as an image"):
        datasets.load(config("folder", tmp_path / "own"))
    Image.fromarray(np.zeros((6, 5), np.uint16)).save(odd)
    with pytest.raises(ValueError, match="odd.png: .*expected 8-bit"):
        datasets.load(config("folder", tmp_path / "own"))


def test_missing_folders_are_named(tmp_path):
    root = tmp_path / "own"
    for data_dir in ("", root):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            datasets.load(config("folder", data_dir))
    root.mkdir()
    with pytest.raises(FileNotFoundError, match="no subfolders; expected one for each class"):
        datasets.load(config("folder", root))
    (root / "a").mkdir()
    with pytest.raises(FileNotFoundError, match=r"own/a: no images; expected a/\*.png"):
        datasets.load(config("folder", root))


def test_a_test_class_that_training_lacks_is_named(tmp_path):
    write_images(tmp_path / "own" / "train" / "a", images(2))
    write_images(tmp_path / "own" / "test" / "b", images(2))
    with pytest.raises(ValueError, match="test/b: no such class"):
        datasets.load(config("folder", tmp_path / "own"))
