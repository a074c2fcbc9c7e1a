"""Batches drawn on the device: every example once an epoch, the same batch for any devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import FAST_COMPILATION, compiled

from flowgmm_jax.data import augment
from flowgmm_jax.data.batches import draw_batch
from flowgmm_jax.data.sampling import BatchSizes, shuffled_index
from flowgmm_jax.data.splits import Pool

SIZES = [1, 2, 3, 10, 100, 1000, 59_000]


def epoch(n, number=0, seed=0):
    positions = np.arange(number * n, (number + 1) * n, dtype=np.uint32)
    return np.asarray(shuffled_index(jax.random.key(seed), jnp.asarray(positions), n))


@pytest.mark.parametrize("number", [0, 1, 7])
@pytest.mark.parametrize("n", SIZES)
def test_an_epoch_visits_every_index_once(n, number):
    np.testing.assert_array_equal(np.sort(epoch(n, number)), np.arange(n))


@pytest.mark.parametrize("n", [100, 1000, 59_000])
def test_epochs_and_keys_differ(n):
    first, second, other_key = epoch(n), epoch(n, number=1), epoch(n, seed=1)
    assert np.mean(first == second) < 0.05
    assert np.mean(first == other_key) < 0.05
    assert np.mean(first == np.arange(n)) < 0.05


@pytest.mark.parametrize("n", [3, 10, 100])
def test_an_index_is_anywhere_in_an_epoch_with_even_odds(n):
    epochs = 200_000 // n
    positions = jnp.arange(epochs * n, dtype=jnp.uint32)
    drawn = np.asarray(shuffled_index(jax.random.key(0), positions, n)).reshape(epochs, n)
    table = np.zeros((n, n))
    np.add.at(table, (np.tile(np.arange(n), epochs), drawn.ravel()), 1)
    expected = epochs / n
    # The mean square of the relative deviation, less what is due to chance.
    chi_square = np.sum((table - expected) ** 2) / expected
    assert (chi_square - (n - 1) ** 2) / (epochs * n) < 0.07**2


def test_neighbours_in_an_epoch_are_unrelated():
    drawn = epoch(1000).astype(float)
    assert abs(np.corrcoef(drawn[1:], drawn[:-1])[0, 1]) < 0.12


def test_an_entry_does_not_depend_on_the_others_asked_for():
    key = jax.random.key(0)
    together = shuffled_index(key, jnp.arange(50, dtype=jnp.uint32), 30)
    alone = shuffled_index(key, jnp.array([17, 42], jnp.uint32), 30)
    np.testing.assert_array_equal(alone, together[jnp.array([17, 42])])


def test_positions_near_the_end_of_uint32_are_valid():
    positions = jnp.arange(2**32 - 100, 2**32, dtype=jnp.uint32)
    drawn = np.asarray(shuffled_index(jax.random.key(0), positions, 10))
    assert drawn.min() >= 0 and drawn.max() < 10


LABELED = np.array([3, 5, 8, 13, 21, 34, 45, 50], np.int32)


def make_pool():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, size=(60, 4, 4, 1)).astype(np.uint8)
    unlabeled = np.setdiff1d(np.arange(60), LABELED).astype(np.int32)
    y = (np.arange(60) % 10).astype(np.int32)
    return Pool(*map(jnp.asarray, (x, y, LABELED, unlabeled)))


@partial(
    jax.jit,
    static_argnames=("num_microbatches", "unlabeled", "density"),
    compiler_options=FAST_COMPILATION,
)
def draw(step, microbatch, num_microbatches=1, unlabeled=16, density=0, seed=0):
    to_float = augment.pixel_centres if density else augment.dequantize
    crop = [partial(augment.random_crop, pad=1)]
    view = augment.view(crop, 256, to_float)
    views = augment.Views(view, view, augment.view(crop, 256) if density else None)
    sizes = BatchSizes(8, unlabeled, density, num_microbatches)
    return draw_batch(make_pool(), jax.random.key(seed), step, microbatch, sizes, views)


@pytest.mark.parametrize(("num_microbatches", "density"), [(1, 0), (2, 0), (4, 0), (8, 0), (2, 4)])
def test_the_microbatches_make_up_the_whole_batch(num_microbatches, density):
    whole = draw(5, 0, density=density)
    microbatches = [draw(5, m, num_microbatches, density=density) for m in range(num_microbatches)]
    together = jax.tree.map(lambda *parts: np.concatenate(parts), *microbatches)
    jax.tree.map(np.testing.assert_array_equal, together, whole)


@pytest.mark.parametrize("density", [4, 16])
def test_views_for_the_density_are_dequantised_teacher_views_of_every_so_many(density):
    batch, dequantised = draw(5, 0, density=density), draw(5, 0)
    np.testing.assert_array_equal(batch.x_density, dequantised.x_teacher[:: 16 // density])
    for name in ("x_labeled", "x_student", "x_teacher"):
        centres = np.floor(getattr(dequantised, name)) + np.float32(0.5)
        np.testing.assert_array_equal(getattr(batch, name), centres)


def test_shapes_and_dtypes_of_a_batch():
    batch = draw(0, 0)
    assert jax.tree.map(jnp.shape, batch) == (
        *((8, 4, 4, 1), (8,), (16, 4, 4, 1), (16, 4, 4, 1)),
        None,
    )
    dtypes = ("float32", "int32", "float32", "float32", None)
    assert jax.tree.map(lambda a: str(a.dtype), batch) == dtypes


@pytest.mark.parametrize("change", [{"step": 1}, {"seed": 1}], ids=["step", "seed"])
def test_another_step_or_seed_gives_another_batch(change):
    first, other = draw(0, 0), draw(**({"step": 0, "microbatch": 0} | change))
    assert not np.array_equal(first.x_labeled, other.x_labeled)
    assert not np.array_equal(first.x_student, other.x_student)


def identity(key, x):
    return x.astype(jnp.float32)


@pytest.fixture(scope="module")
def epoch_of_batches():
    """Batches of plain examples over one epoch of the labelled set and 52 steps of 4 unlabelled."""
    draw_plain = compiled(
        lambda step: draw_batch(
            make_pool(),
            jax.random.key(0),
            step,
            0,
            BatchSizes(4, 4),
            augment.Views(identity, identity),
        )
    )
    return [draw_plain(step) for step in range(13)]


def rows_of(x, pool_x):
    flat = np.asarray(pool_x, np.float32).reshape(len(pool_x), -1)
    return [int(np.flatnonzero((flat == row).all(axis=1))[0]) for row in x.reshape(len(x), -1)]


def test_labels_belong_to_their_examples(epoch_of_batches):
    pool = make_pool()
    batch = epoch_of_batches[0]
    np.testing.assert_array_equal(pool.y[jnp.array(rows_of(batch.x_labeled, pool.x))], batch.y)


def test_two_steps_visit_every_labelled_example_once(epoch_of_batches):
    x = np.concatenate([batch.x_labeled for batch in epoch_of_batches[:2]])
    assert sorted(rows_of(x, make_pool().x)) == LABELED.tolist()


def test_thirteen_steps_visit_every_unlabelled_example_once(epoch_of_batches):
    pool = make_pool()
    x = np.concatenate([batch.x_student for batch in epoch_of_batches])
    assert sorted(rows_of(x, pool.x)) == pool.unlabeled.tolist()


def test_both_views_are_of_the_same_example(epoch_of_batches):
    batch = epoch_of_batches[0]
    np.testing.assert_array_equal(batch.x_student, batch.x_teacher)


def test_the_two_views_differ():
    view = augment.view([], 256)
    batch = draw_batch(
        make_pool(), jax.random.key(0), 0, 0, BatchSizes(4, 4), augment.Views(view, view)
    )
    np.testing.assert_array_equal(np.floor(batch.x_student), np.floor(batch.x_teacher))
    assert not np.any(batch.x_student == batch.x_teacher)


def test_a_batch_without_unlabelled_examples_is_empty():
    batch = draw(0, 0, unlabeled=0)
    assert batch.x_student.shape == batch.x_teacher.shape == (0, 4, 4, 1)
    assert batch.x_labeled.shape == (8, 4, 4, 1)
