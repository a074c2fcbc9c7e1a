"""Batches from the host are bit for bit those of the device."""

import tracemalloc
from functools import partial

import jax
import numpy as np
import pytest
from helpers import compiled

from flowgmm_jax import InputError
from flowgmm_jax.data import augment, npz, stream
from flowgmm_jax.data.batches import Pool, draw_batch

RNG = np.random.default_rng(0)
COUNT, LABELED = 60, np.array([3, 5, 8, 13, 21, 34, 45, 50], np.int32)
IMAGES = RNG.integers(0, 256, (COUNT, 4, 4, 1), np.uint8)
VECTORS = RNG.normal(size=(COUNT, 5)).astype(np.float32)
CROPS = augment.view([partial(augment.random_crop, pad=1), augment.random_flip], 256)
IMAGE_VIEWS = (CROPS, augment.view([], 256))
VECTOR_VIEWS = tuple(augment.view([partial(augment.jitter, scale=s)], 0) for s in (0.3, 0.1))
KINDS = {"images": (IMAGES, IMAGE_VIEWS), "vectors": (VECTORS, VECTOR_VIEWS)}


def make_pool(x):
    unlabeled = np.setdiff1d(np.arange(len(x)), LABELED).astype(np.int32)
    return Pool(x, (np.arange(len(x)) % 10).astype(np.int32), LABELED, unlabeled)


def stream_of(pool, steps, shards=(0,), num_shards=1, batch_unlabeled=16, seed=0):
    return stream.stream(
        pool, jax.random.key(seed), steps, shards, num_shards, 8, batch_unlabeled, prefetch=4
    )


def both_paths(views, num_shards=1, batch_unlabeled=16):
    """Functions ``(pool, step, shard)`` and ``(window of one device, step, shard)`` to a Batch."""
    key = jax.random.key(0)

    @compiled
    def from_device(pool, step, shard):
        return draw_batch(pool, key, step, shard, num_shards, 8, batch_unlabeled, *views)

    @compiled
    def from_host(window, step, shard):
        return stream.views_of_window(window, key, step, shard, num_shards, *views)

    return from_device, from_host


@pytest.mark.parametrize("batch_unlabeled", [0, 16])
@pytest.mark.parametrize(("num_devices", "num_shards"), [(1, 1), (4, 4), (2, 4)])
@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_those_of_the_device(kind, num_devices, num_shards, batch_unlabeled):
    x, views = KINDS[kind]
    pool, shards = make_pool(x), range(num_shards)
    from_device, from_host = both_paths(views, num_shards, batch_unlabeled)
    batches = stream_of(pool, range(7, 20), shards, num_shards, batch_unlabeled)
    for first in (7, 10):
        window = stream.next_window(batches, 3, capacity=5, num_devices=num_devices)
        leading = (num_devices, num_shards // num_devices, 5)
        assert window.examples.x_labeled.shape == (*leading, 8 // num_shards, *x.shape[1:])
        assert window.examples.x_unlabeled.dtype == x.dtype
        for shard in {0, num_shards - 1}:
            device = shard * num_devices // num_shards
            own = jax.tree.map(lambda a, device=device: a[device], window)
            for step in (first, first + 2):
                ours, theirs = from_host(own, step, shard), from_device(pool, step, shard)
                jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_process_reads_its_own_shards_alone():
    pool = make_pool(IMAGES)
    (_, whole), (_, part) = (
        next(stream_of(pool, range(5, 6), shards, num_shards=4)) for shards in (range(4), (2, 3))
    )
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[2:], b), whole, part)


def test_a_stream_from_the_middle_is_the_rest_of_the_whole():
    pool = make_pool(VECTORS)
    whole, rest = list(stream_of(pool, range(12))), list(stream_of(pool, range(7, 12)))
    assert [step for step, _ in rest] == [7, 8, 9, 10, 11]
    jax.tree.map(np.testing.assert_array_equal, whole[7:], rest)


def test_a_stream_without_steps_is_empty():
    assert list(stream_of(make_pool(VECTORS), range(5, 5))) == []


def test_an_error_of_reading_comes_out():
    pool = make_pool(VECTORS)
    broken = pool._replace(x=pool.x[:10])
    with pytest.raises(IndexError, match="out of bounds"):
        list(stream_of(broken, range(5)))


def test_without_a_cpu_the_message_says_what_to_set(monkeypatch):
    def refuse(backend):
        raise RuntimeError("Unknown backend cpu")

    monkeypatch.setattr(jax, "local_devices", refuse)
    with pytest.raises(InputError, match="expected JAX_PLATFORMS to name cpu too"):
        stream_of(make_pool(VECTORS), range(5))


def test_of_a_mapped_set_only_the_drawn_examples_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(npz, "MAPPED_BYTES", 0)
    path = tmp_path / "large.npz"
    with path.open("wb") as file:
        block = np.ones((20, 400, 400, 1), np.uint8)
        npz.write_examples(file, 400, ((block, np.zeros(20, np.int32)) for _ in range(20)))
    with np.load(path) as archive:
        x = npz.load_array(path, archive, "x")
    pool = make_pool(x)
    tracemalloc.start()
    batches = stream_of(pool, range(30))
    for _ in range(30):
        _, examples = next(batches)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert examples.x_unlabeled.shape == (1, 16, 400, 400, 1)
    assert x.nbytes == 64e6
    # 24 examples a step, of 160 kB, and some steps ahead.
    assert peak < 16 * 24 * 160e3


def test_positions_past_int32_are_the_same_on_both_paths():
    pool, step = make_pool(VECTORS), 2**28 + 5
    window = stream.next_window(
        stream_of(pool, range(step, step + 1)), 1, capacity=1, num_devices=1
    )
    from_device, from_host = both_paths(VECTOR_VIEWS)
    ours = from_host(jax.tree.map(lambda a: a[0], window), step, 0)
    jax.tree.map(np.testing.assert_array_equal, ours, from_device(pool, step, 0))
