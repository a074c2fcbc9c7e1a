"""Batches from the host are bit for bit those of the device."""

import tracemalloc
from functools import partial

import jax
import numpy as np
import pytest
from helpers import compiled

from flowgmm_jax import InputError, devices
from flowgmm_jax.data import augment, batches
from flowgmm_jax.data.batches import draw_batch, draw_from_window, next_window
from flowgmm_jax.data.sampling import BatchSizes
from flowgmm_jax.data.splits import Pool

RNG = np.random.default_rng(0)
COUNT, LABELED = 60, np.array([3, 5, 8, 13, 21, 34, 45, 50], np.int32)
IMAGES = RNG.integers(0, 256, (COUNT, 4, 4, 1), np.uint8)
VECTORS = RNG.normal(size=(COUNT, 5)).astype(np.float32)
CROPS = augment.view([partial(augment.random_crop, pad=1), augment.random_flip], 256)
IMAGE_VIEWS = augment.Views(CROPS, augment.view([], 256))
VECTOR_VIEWS = augment.Views(
    *(augment.view([partial(augment.jitter, scale=s)], 0) for s in (0.3, 0.1, 0.1))
)
SIZES = BatchSizes(8, 16)
KINDS = {"images": (IMAGES, IMAGE_VIEWS), "vectors": (VECTORS, VECTOR_VIEWS)}


def make_pool(x):
    unlabeled = np.setdiff1d(np.arange(len(x)), LABELED).astype(np.int32)
    return Pool(x, (np.arange(len(x)) % 10).astype(np.int32), LABELED, unlabeled)


def stream_of(pool, steps, microbatches=(0,), sizes=SIZES, seed=0):
    return batches.stream(pool, jax.random.key(seed), steps, microbatches, sizes, prefetch=4)


def both_paths(views, sizes):
    """``(pool, step, microbatch)`` and ``(window of a device, step, microbatch)`` to a Batch."""
    key = jax.random.key(0)

    @compiled
    def from_device(pool, step, microbatch):
        return draw_batch(pool, key, step, microbatch, sizes, views)

    @compiled
    def from_host(window, step, microbatch):
        return draw_from_window(window, key, step, microbatch, sizes, views)

    return from_device, from_host


@pytest.mark.parametrize(
    ("num_devices", "num_microbatches", "unlabeled", "density"),
    [(1, 1, 0, 0), (1, 1, 16, 0), (2, 2, 0, 0), (2, 2, 16, 0), (2, 4, 0, 0), (2, 4, 16, 4)],
)
@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_those_of_the_device(
    monkeypatch, kind, num_devices, num_microbatches, unlabeled, density
):
    if num_devices > jax.local_device_count():
        pytest.skip("needs two devices")
    monkeypatch.setattr(jax, "local_device_count", lambda: num_devices)
    local_devices = jax.local_devices()
    monkeypatch.setattr(jax, "local_devices", lambda **_: local_devices[:num_devices])
    x, views = KINDS[kind]
    if density:
        views = views._replace(density=views.teacher)
    pool, sizes = make_pool(x), BatchSizes(8, unlabeled, density, num_microbatches)
    from_device, from_host = both_paths(views, sizes)
    raw_batches = stream_of(pool, range(7, 20), range(num_microbatches), sizes)
    for first in (7, 10):
        window = jax.device_get(next_window(raw_batches, 3, capacity=5))
        leading = (num_devices, num_microbatches // num_devices, 5)
        assert window.raw.x_labeled.shape == (*leading, 8 // num_microbatches, *x.shape[1:])
        assert window.raw.x_unlabeled.dtype == x.dtype
        for microbatch in {0, num_microbatches - 1}:
            device = microbatch * num_devices // num_microbatches
            own = jax.tree.map(lambda a, device=device: a[device], window)
            for step in (first, first + 2):
                ours, theirs = from_host(own, step, microbatch), from_device(pool, step, microbatch)
                jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_process_reads_only_its_own_microbatches():
    pool = make_pool(IMAGES)
    (_, whole), (_, part) = (
        next(stream_of(pool, range(5, 6), microbatches, BatchSizes(8, 16, 0, 4)))
        for microbatches in (range(4), (2, 3))
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


def test_of_a_mapped_set_only_the_drawn_examples_are_read(tmp_path):
    path = tmp_path / "large.npy"
    np.lib.format.open_memmap(path, "w+", np.uint8, (400, 400, 400, 1))[:] = 1
    x = np.load(path, mmap_mode="r")
    pool = make_pool(x)
    tracemalloc.start()
    raw_batches = stream_of(pool, range(30))
    for _ in range(30):
        _, raw = next(raw_batches)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert raw.x_unlabeled.shape == (1, 16, 400, 400, 1)
    assert x.nbytes == 64e6
    # 24 examples a step, of 160 kB, and some steps ahead.
    assert peak < 16 * 24 * 160e3


def test_positions_past_int32_are_the_same_on_both_paths(monkeypatch):
    one = jax.local_devices()[:1]
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    monkeypatch.setattr(jax, "local_devices", lambda **_: one)
    pool, step = make_pool(VECTORS), 2**28 + 5
    window = next_window(stream_of(pool, range(step, step + 1)), 1, capacity=1)
    from_device, from_host = both_paths(VECTOR_VIEWS, SIZES)
    ours = from_host(devices.unreplicate(window), step, 0)
    jax.tree.map(np.testing.assert_array_equal, ours, from_device(pool, step, 0))
