"""Prepared sets: made-up ones in the layout of tensorflow-datasets, and the real ones if here."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from ml_collections import ConfigDict
from PIL import Image

from flowgmm_jax.data import cache, datasets, prepare, published, tfds
from flowgmm_jax.errors import InputError

REAL = Path(os.environ.get("FLOWGMM_DATA", "no data")).resolve()


def needs(name):
    return pytest.mark.skipif(not (REAL / name).is_dir(), reason=f"no {name} in {REAL}")


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGMM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(autouse=True)
def any_content(monkeypatch):
    """Made-up sets may have the names of published ones."""
    monkeypatch.setattr(published, "KNOWN", {})


def config(name, data_dir):
    return ConfigDict({"name": name, "data_dir": str(data_dir), "split_seed": 0})


def write_set(root, name, version="1.0.0", **splits):
    """Writes splits of (images, labels) the way tensorflow-datasets prepares them."""
    from tensorflow_datasets.proto import tf_example_pb2

    folder = root / name / version
    folder.mkdir(parents=True)
    for split, (images, labels) in splits.items():
        path = folder / f"{name}-{split}.array_record-00000-of-00001"
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for image, label in zip(images, labels, strict=True):
            png = io.BytesIO()
            Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(png, "png")
            example = tf_example_pb2.Example()
            example.features.feature["image"].bytes_list.value.append(png.getvalue())
            example.features.feature["label"].int64_list.value.append(int(label))
            writer.write(example.SerializeToString())
        writer.close()
    shape = next(iter(splits.values()))[0].shape[1:]
    write_facts(folder, name, shape, {split: len(y) for split, (_, y) in splits.items()})
    return folder


def write_facts(folder, name, shape, sizes):
    template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
    facts = {
        "name": name,
        "version": folder.name,
        "fileFormat": "array_record",
        "splits": [
            {"name": split, "shardLengths": [str(size)], "filepathTemplate": template}
            for split, size in sizes.items()
        ],
    }
    (folder / "dataset_info.json").write_text(json.dumps(facts))
    module = "tensorflow_datasets.core.features"
    image = {
        "dtype": "uint8",
        "encodingFormat": "png",
        "shape": {"dimensions": [str(size) for size in shape]},
    }
    features = {
        "pythonClassName": f"{module}.features_dict.FeaturesDict",
        "featuresDict": {
            "features": {
                "image": {"pythonClassName": f"{module}.image_feature.Image", "image": image},
                "label": {
                    "pythonClassName": f"{module}.class_label_feature.ClassLabel",
                    "classLabel": {"numClasses": "10"},
                },
            }
        },
    }
    (folder / "features.json").write_text(json.dumps(features))


def made_up(size, shape=(32, 32, 3), seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (size, *shape), np.uint8), np.arange(size) % 10


@pytest.fixture
def svhn(tmp_path):
    """The only test of SVHN: its pictures are made up, its layout is the real one."""
    write_set(tmp_path, "svhn_cropped", "3.0.0", train=made_up(30), test=made_up(11, seed=1))
    return tmp_path


def test_a_prepared_set_is_read_back_exactly(svhn):
    dataset = datasets.load(config("svhn_cropped", svhn))
    for x, y, (images, labels) in [
        (dataset.x_train, dataset.y_train, made_up(30)),
        (dataset.x_test, dataset.y_test, made_up(11, seed=1)),
    ]:
        np.testing.assert_array_equal(x, images)
        np.testing.assert_array_equal(y, labels)
        assert (x.dtype, y.dtype) == (np.uint8, np.int32)
    assert dataset.info == datasets.info(config("svhn_cropped", svhn))


def test_the_folder_of_tensorflow_datasets_is_the_default(svhn, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(svhn))
    x, _ = datasets.load_test(config("svhn_cropped", ""))
    assert len(x) == 11


def test_the_newest_version_is_read(svhn):
    write_set(svhn, "svhn_cropped", "10.0.0", test=made_up(5))
    x, _ = datasets.load_test(config("svhn_cropped", svhn))
    assert len(x) == 5


def test_reading_logs_nothing(svhn, caplog):
    datasets.load(config("svhn_cropped", svhn))
    assert not caplog.records


def test_a_second_load_decodes_nothing(svhn, monkeypatch):
    first = datasets.load(config("svhn_cropped", svhn))
    monkeypatch.setattr(tfds, "_decode", None)
    second = datasets.load(config("svhn_cropped", svhn))
    np.testing.assert_array_equal(first.x_train, second.x_train)
    np.testing.assert_array_equal(first.y_test, second.y_test)


def test_decoded_arrays_are_a_data_directory(svhn, tmp_path, cache_folder):
    folder = tmp_path / "arrays"
    folder.mkdir()
    tfds.write_arrays("svhn_cropped", str(svhn), folder)
    expected = datasets.load(config("svhn_cropped", svhn))
    shutil.rmtree(cache_folder)
    found = datasets.load(config("svhn_cropped", folder))
    for ours, theirs in zip(found[:4], expected[:4], strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    assert not cache_folder.exists()
    (folder / "svhn_cropped-test.npz").write_bytes(b"damaged")
    with pytest.raises(InputError, match=r"svhn_cropped-test.npz: expected a .npz file"):
        datasets.load(config("svhn_cropped", folder))


def test_a_changed_source_is_decoded_again(svhn):
    datasets.load_test(config("svhn_cropped", svhn))
    record = svhn / "svhn_cropped/3.0.0/svhn_cropped-test.array_record-00000-of-00001"
    record.write_bytes(b"")
    with pytest.raises(ValueError, match="cannot be read"):
        datasets.load_test(config("svhn_cropped", svhn))


@pytest.mark.parametrize("name", ["x.npy", "y.npy", "digest"])
@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"x" * 99])
def test_a_damaged_cache_file_is_made_anew(svhn, cache_folder, name, damage):
    first, _ = datasets.load_test(config("svhn_cropped", svhn))
    (folder,) = cache_folder.iterdir()
    file = folder / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match="damaged cache file"):
        second, _ = datasets.load_test(config("svhn_cropped", svhn))
    np.testing.assert_array_equal(first, second)
    datasets.load_test(config("svhn_cropped", svhn))  # whole again: no warning
    assert list(cache_folder.iterdir()) == [folder]


@pytest.mark.parametrize("name", ["x.npy", "y.npy", "digest"])
def test_a_half_removed_cache_is_made_anew(svhn, cache_folder, name):
    first, _ = datasets.load_test(config("svhn_cropped", svhn))
    (folder,) = cache_folder.iterdir()
    (folder / name).unlink()
    second, _ = datasets.load_test(config("svhn_cropped", svhn))
    np.testing.assert_array_equal(first, second)
    assert {path.name for path in folder.iterdir()} == {"x.npy", "y.npy", "digest"}


def test_flipped_bits_in_a_cache_file_are_noticed(svhn, cache_folder):
    datasets.load_test(config("svhn_cropped", svhn))
    (folder,) = cache_folder.iterdir()
    file = folder / "x.npy"
    content = bytearray(file.read_bytes())
    content[5000] ^= 255
    file.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged cache file"):
        x, _ = datasets.load_test(config("svhn_cropped", svhn))
    np.testing.assert_array_equal(x, made_up(11, seed=1)[0])


def test_an_unwritable_cache_is_only_warned_of(svhn, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FLOWGMM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot cache"):
        x, _ = datasets.load_test(config("svhn_cropped", svhn))
    assert len(x) == 11


def test_a_failed_write_leaves_no_file(tmp_path, cache_folder, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(cache, "_write_arrays", full)
    source = tmp_path / "source"
    source.write_text("")
    with pytest.warns(UserWarning, match="no space left"):
        cache.cached("label", [source], lambda: (1, [(np.zeros(1), np.zeros(1))]))
    assert not list(cache_folder.iterdir())


def test_a_missing_set_says_how_to_prepare_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="expected mnist/<version>/mnist-train") as caught:
        datasets.load(config("mnist", tmp_path / "nowhere"))
    message = str(caught.value)
    assert str(tmp_path / "nowhere") in message and "found nothing" in message
    assert 'pip install "flowgmm_jax[prepare]"' in message
    assert f"flowgmm_jax.data.prepare mnist --data_dir={tmp_path / 'nowhere'}" in message
    assert "\n" not in message


def test_a_set_in_another_format_says_what_was_found(tmp_path):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    write_facts(folder, "mnist", (28, 28, 1), {"train": 1})
    (folder / "mnist-train.tfrecord-00000-of-00001").write_text("")
    with pytest.raises(FileNotFoundError, match="array_record-.*found.*mnist-train.tfrecord"):
        datasets.load(config("mnist", tmp_path))


@pytest.mark.parametrize("file", ["array_record-00000-of-00001", "dataset_info", "features"])
def test_a_damaged_file_is_named(svhn, file):
    folder = svhn / "svhn_cropped" / "3.0.0"
    (path,) = folder.glob(f"*test.{file}" if "record" in file else f"{file}.json")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="svhn_cropped-test.array_record.*damaged") as caught:
        datasets.load_test(config("svhn_cropped", svhn))
    assert "\n" not in str(caught.value)


def test_images_of_another_size_are_refused(tmp_path):
    write_set(tmp_path, "svhn_cropped", test=made_up(3, shape=(16, 16, 3)))
    with pytest.raises(ValueError, match=r"x_test is uint8 \(3, 16, 16, 3\); expected"):
        datasets.load_test(config("svhn_cropped", tmp_path))


def test_a_set_without_training_split_can_only_be_tested_on(tmp_path):
    write_set(tmp_path, "notmnist", test=made_up(4, shape=(28, 28, 1)))
    x, y = datasets.load_test(config("notmnist", tmp_path))
    assert x.shape == (4, 28, 28, 1) and y.tolist() == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="'notmnist' has only a test split"):
        datasets.load(config("notmnist", tmp_path))
    with pytest.raises(FileNotFoundError, match="no builder"):
        datasets.load_test(config("notmnist", tmp_path / "nowhere"))


def test_the_original_order_is_restored(tmp_path, monkeypatch):
    images, labels = made_up(20, shape=(28, 28, 1))
    images[7] = images[3]  # duplicates keep their order
    np.save(tmp_path / "mnist.npy", published.fingerprints("mnist", images))
    monkeypatch.setattr(published, "ORDER_FOLDER", tmp_path)
    shuffled = np.random.default_rng(1).permutation(20)
    write_set(
        tmp_path, "mnist", train=(images[shuffled], labels[shuffled]), test=made_up(2, (28, 28, 1))
    )
    dataset = datasets.load(config("mnist", tmp_path))
    np.testing.assert_array_equal(dataset.x_train, images)
    others = np.arange(20) % 4 != 3
    np.testing.assert_array_equal(dataset.y_train[others], labels[others])


def test_other_images_keep_their_order(tmp_path):
    images, labels = made_up(20, shape=(28, 28, 1))
    write_set(tmp_path, "mnist", train=(images, labels), test=made_up(2, shape=(28, 28, 1)))
    np.testing.assert_array_equal(datasets.load(config("mnist", tmp_path)).x_train, images)


def test_preparing_without_tensorflow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(SystemExit, match=r"needs TensorFlow.*flowgmm_jax\[prepare\]"):
        prepare.main(["mnist", f"--data_dir={tmp_path}"])


def test_preparing_a_set_without_a_builder_is_refused(capsys):
    with pytest.raises(SystemExit):
        prepare.main(["notmnist"])
    assert "invalid choice: 'notmnist'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs(name)) for name in ("cifar10", "notmnist")]
)
def test_real_test_sets(name):
    x, y = datasets.load_test(config(name, REAL))
    assert x.shape == (10000, *tfds.INFO[name].shape)
    assert np.bincount(y).tolist() == [1000] * 10


@needs("fashion_mnist")
def test_shipped_order_of_the_real_fashion_mnist():
    x, _ = tfds.load_split("fashion_mnist", "train", str(REAL))
    np.testing.assert_array_equal(published.original_order("fashion_mnist", x), np.arange(60000))
