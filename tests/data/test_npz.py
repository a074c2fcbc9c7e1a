"""Arrays larger than memory: mapped, checked and written in parts; nothing is ever executed."""

import mmap
import tracemalloc

import numpy as np
import pytest
from ml_collections import ConfigDict

from flowgmm_jax.data import cache, datasets, splits
from flowgmm_jax.data.base import blocks
from flowgmm_jax.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), np.uint8)
VECTORS = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGMM_CACHE", str(tmp_path / "cache"))


def is_mapped(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def own(path, **fields):
    defaults = {"name": "npz", "num_labels": 4, "split_file": "", "split_seed": 0, "validation": 4}
    return ConfigDict(defaults | {"data_dir": str(path)} | fields)


def save(folder, **arrays):
    """Writes a folder of .npy files."""
    folder.mkdir()
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


@pytest.mark.parametrize("array", [IMAGES, np.asfortranarray(IMAGES), IMAGES[::2]])
def test_the_arrays_of_a_folder_are_mapped(tmp_path, array):
    y = np.arange(len(array)) % 2
    folder = save(tmp_path / "data", x_train=array, y_train=y, x_test=array[:4], y_test=y[:4])
    dataset = datasets.load(own(folder))
    assert dataset.info == datasets.info(own(folder))
    for loaded, expected in ((dataset.x_train, array), (dataset.x_test, array[:4])):
        np.testing.assert_array_equal(loaded, expected)
        assert loaded.dtype == array.dtype and type(loaded) is np.ndarray
        assert is_mapped(loaded) and not loaded.flags.writeable


def test_a_flipped_bit_in_a_npz_file_is_noticed(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x_train=IMAGES, y_train=np.arange(40) % 2)
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="data.npz: expected a .npz file.*CRC"):
        datasets.load(own(path))


@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[: len(b) // 2], lambda b: b"x" * 99])
def test_a_damaged_file_of_a_folder_is_refused(tmp_path, name, damage):
    y = np.arange(40) % 2
    folder = save(tmp_path / "data", x_train=IMAGES, y_train=y, x_test=IMAGES, y_test=y)
    path = folder / f"{name}.npy"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match="data: expected a folder of .npy files x_train") as caught:
        datasets.load(own(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["x_train", "y_train", "x_test", "y_test"])
def test_a_missing_file_of_a_folder_is_named(tmp_path, missing):
    y = np.arange(40) % 2
    folder = save(tmp_path / "data", x_train=IMAGES, y_train=y, x_test=IMAGES, y_test=y)
    (folder / f"{missing}.npy").unlink()
    with pytest.raises(InputError, match=f"expected a folder of .npy files.*'{missing}'"):
        datasets.load(own(folder))


def test_of_a_folder_without_a_test_set_a_fifth_is_held_out(tmp_path):
    folder = save(tmp_path / "data", x_train=IMAGES, y_train=np.arange(40) % 2)
    dataset = datasets.load(own(folder))
    assert (len(dataset.x_train), len(dataset.x_test)) == (32, 8)


@pytest.mark.parametrize("x", [IMAGES, VECTORS], ids=["images", "vectors"])
def test_a_mapped_set_is_the_same_set(tmp_path, x):
    y = np.arange(40) % 2
    arrays = {"x_train": x, "y_train": y, "x_test": x[:4], "y_test": y[:4]}
    np.savez(tmp_path / "data.npz", **arrays)
    read, mapped = (
        datasets.load(own(path))
        for path in (tmp_path / "data.npz", save(tmp_path / "data", **arrays))
    )
    is_image = x is IMAGES
    assert is_mapped(mapped.x_train) == is_mapped(mapped.x_test) == is_image
    np.testing.assert_array_equal(mapped.x_train, read.x_train)
    here, there = (splits.make_split(dataset, own("")) for dataset in (read, mapped))
    for ours, theirs in zip(here, there, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert splits.fingerprint(read, here) == splits.fingerprint(mapped, there)


def test_large_vectors_are_standardised_into_the_cache(tmp_path, monkeypatch):
    arrays = {"x_train": VECTORS, "x_test": VECTORS[:4]}
    arrays |= {"y_train": np.arange(40) % 2, "y_test": np.arange(4) % 2}
    folder = save(tmp_path / "data", **arrays)
    small = datasets.load(own(folder))
    monkeypatch.setattr(cache, "MAPPED_BYTES", 0)
    monkeypatch.setattr("flowgmm_jax.data.base.BLOCK_BYTES", 100)
    large = datasets.load(own(folder))
    assert is_mapped(large.x_train) and not is_mapped(small.x_train)
    assert large.source == small.source
    np.testing.assert_array_equal(large.x_train, small.x_train)
    np.testing.assert_array_equal(large.x_test, small.x_test)


def test_values_that_are_not_finite_are_found_in_any_block(tmp_path, monkeypatch):
    monkeypatch.setattr("flowgmm_jax.data.base.BLOCK_BYTES", 100)
    x = VECTORS.copy()
    x[-1, -1] = np.inf
    np.savez(tmp_path / "data.npz", x_train=x, y_train=np.arange(40) % 2)
    with pytest.raises(InputError, match="x_train has values that are not finite|x_test has"):
        datasets.load(own(tmp_path / "data.npz"))


@pytest.mark.parametrize("block_bytes", [1, 100, 10**6])
def test_blocks_make_up_the_whole(monkeypatch, block_bytes):
    monkeypatch.setattr("flowgmm_jax.data.base.BLOCK_BYTES", block_bytes)
    parts = list(blocks(IMAGES))
    np.testing.assert_array_equal(np.concatenate(parts), IMAGES)
    assert all(len(part) == 1 or part.nbytes <= block_bytes for part in parts)
    assert list(blocks(IMAGES[:0])) == []


def test_no_large_set_is_ever_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "MAPPED_BYTES", 0)
    count, shape = 600, (400, 400, 1)  # 96 MB

    def decode():
        rng = np.random.default_rng(0)
        y = np.arange(count, dtype=np.int32) % 2
        parts = (rng.integers(0, 256, (20, *shape), np.uint8) for _ in range(count // 20))
        return count, ((x, y[20 * i : 20 * (i + 1)]) for i, x in enumerate(parts))

    source = tmp_path / "source"
    source.write_text("")
    tracemalloc.start()
    x, y = cache.cached("large", [source], decode)
    dataset = datasets.Dataset(x, y, x[:2], y[:2], datasets.Info(shape, 2, 256))
    datasets.check(dataset)
    split = splits.make_split(dataset, own(""))
    splits.fingerprint(dataset, split)
    splits.make_pool(dataset, split)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert x.nbytes == 96e6 and is_mapped(x)
    assert peak < 48e6


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def malicious(tmp_path):
    """An array that writes a file when it is loaded with pickles allowed, and that file."""
    victim = tmp_path / "victim"
    array = np.empty(10, object)
    array[:] = [Malicious(victim)] * 10
    np.savez(tmp_path / "proof.npz", x=array)
    np.load(tmp_path / "proof.npz", allow_pickle=True)["x"][0].close()
    assert victim.exists()
    victim.unlink()
    return array, victim


@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
@pytest.mark.parametrize("read", [datasets.load, datasets.info])
def test_nothing_in_a_users_arrays_is_executed(tmp_path, malicious, is_folder, name, read):
    array, victim = malicious
    arrays = {"x_train": IMAGES[:10], "y_train": np.arange(10) % 2}
    arrays |= {"x_test": IMAGES[:10], "y_test": np.arange(10) % 2, name: array}
    path = tmp_path / "data.npz"
    if is_folder:
        save(path, **arrays)
    else:
        np.savez(path, **arrays)
    if read is datasets.info and "test" in name:
        read(own(path))  # does not look at it
    else:
        with pytest.raises(InputError, match=r"data\.npz: "):
            read(own(path))
    assert not victim.exists()


@pytest.mark.parametrize("name", ["labeled_indices", "unlabeled_indices"])
def test_nothing_in_a_split_file_is_executed(tmp_path, malicious, name):
    array, victim = malicious
    x, y = IMAGES, (np.arange(40) % 2).astype(np.int32)
    dataset = datasets.Dataset(x, y, x, y, datasets.Info(x.shape[1:], 2, 256))
    path = tmp_path / "split.npz"
    good = {"labeled_indices": np.arange(4), "unlabeled_indices": np.arange(4, 40)}
    np.savez(path, **good | {name: array})
    with pytest.raises(InputError, match="split_file=.*allow_pickle=False"):
        splits.make_split(dataset, own("", split_file=str(path), num_labels=0))
    assert not victim.exists()
