"""Arrays larger than memory: mapped, checked and written in parts; nothing is ever executed."""

import mmap
import tracemalloc

import numpy as np
import pytest
from ml_collections import ConfigDict

from flowgmm_jax.data import cache, datasets, npz, splits
from flowgmm_jax.data.base import blocks
from flowgmm_jax.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 6, 5, 3), np.uint8)
VECTORS = np.random.default_rng(0).normal(size=(40, 7)).astype(np.float32)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGMM_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def everything_is_large(monkeypatch):
    monkeypatch.setattr(npz, "MAPPED_BYTES", 0)


def is_mapped(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def load(path, name="x"):
    with np.load(path, allow_pickle=False) as archive:
        return npz.load_array(path, archive, name)


@pytest.mark.parametrize(
    "array", [IMAGES, VECTORS, np.asfortranarray(VECTORS), VECTORS[:0], IMAGES[::2]]
)
def test_a_large_array_is_mapped(tmp_path, everything_is_large, array):
    path = tmp_path / "data.npz"
    np.savez(path, before=np.arange(3), x=array)
    loaded = load(path)
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype and type(loaded) is np.ndarray
    assert is_mapped(loaded)
    assert not loaded.size or not loaded.flags.writeable


def test_a_small_or_compressed_array_is_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "small.npz", x=IMAGES)
    np.savez_compressed(tmp_path / "compressed.npz", x=IMAGES)
    assert not is_mapped(load(tmp_path / "small.npz"))
    monkeypatch.setattr(npz, "MAPPED_BYTES", 0)
    compressed = load(tmp_path / "compressed.npz")
    assert not is_mapped(compressed)
    np.testing.assert_array_equal(compressed, IMAGES)


@pytest.mark.parametrize("position", [0.1, 0.5, 0.8])
def test_a_flipped_bit_in_a_mapped_array_is_noticed(tmp_path, everything_is_large, position):
    path = tmp_path / "data.npz"
    np.savez(path, x_train=IMAGES, y_train=np.arange(40) % 2)
    content = bytearray(path.read_bytes())
    content[int(position * IMAGES.nbytes) + 200] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="data.npz: expected a .npz file.*CRC"):
        datasets.load(own(path))


def own(path, **fields):
    defaults = {"name": "npz", "num_labels": 4, "split_file": "", "split_seed": 0, "validation": 4}
    return ConfigDict(defaults | {"data_dir": str(path)} | fields)


@pytest.mark.parametrize("x", [IMAGES, VECTORS], ids=["images", "vectors"])
def test_a_mapped_set_is_the_same_set(tmp_path, monkeypatch, x):
    path, y = tmp_path / "data.npz", np.arange(40) % 2
    np.savez(path, x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    read = datasets.load(own(path))
    monkeypatch.setattr(npz, "MAPPED_BYTES", 0)
    mapped = datasets.load(own(path))
    assert is_mapped(mapped.x_train) and is_mapped(mapped.x_test)
    np.testing.assert_array_equal(mapped.x_train, read.x_train)
    here, there = (splits.make_split(dataset, own(path)) for dataset in (read, mapped))
    for ours, theirs in zip(here, there, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert splits.fingerprint(read, here) == splits.fingerprint(mapped, there)


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


def test_no_large_set_is_ever_in_memory(tmp_path, everything_is_large):
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


@pytest.mark.parametrize("mapped_bytes", [0, 2**30])
@pytest.mark.parametrize("name", ["x_train", "y_train", "x_test", "y_test"])
@pytest.mark.parametrize("read", [datasets.load, datasets.info])
def test_nothing_in_a_npz_file_is_executed(
    tmp_path, monkeypatch, malicious, mapped_bytes, name, read
):
    monkeypatch.setattr(npz, "MAPPED_BYTES", mapped_bytes)
    array, victim = malicious
    good = {"x_train": IMAGES[:10], "y_train": np.arange(10) % 2}
    good |= {"x_test": IMAGES[:10], "y_test": np.arange(10) % 2}
    path = tmp_path / "data.npz"
    np.savez(path, **good | {name: array})
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
