"""A run that streams its examples from the host is bit for bit the run on the devices."""

import jax
import numpy as np
import pytest
import tiny
from ml_collections import ConfigDict

from flowgmm_jax import InputError
from flowgmm_jax.data import augment, batches, datasets
from flowgmm_jax.data.batches import Window
from flowgmm_jax.data.splits import Pool, make_pool, make_split
from flowgmm_jax.runs import checkpoint
from flowgmm_jax.training import restore, trainer
from flowgmm_jax.training.step import run_keys
from flowgmm_jax.training.trainer import train_and_evaluate


def moons():
    config = tiny.get_config()
    config.augment.jitter = (0.2, 0.1)
    # Intervals that calls of five steps do not divide.
    config.train.update({"steps": 60, "log_every": 7, "eval_every": 0, "checkpoint_every": 13})
    return config


def digits():
    config = moons()
    config.data.update({"name": "digits", "num_labels": 20})
    config.flow = ConfigDict({"name": "glow", "stages": ((1, 1),), "width": 4})
    config.prior.means = "random"
    config.augment.update({"jitter": (0.0, 0.0), "crop": 1})
    config.train.update({"steps": 20, "batch_unlabeled": 0, "microbatches": 4, "log_every": 4})
    return config


def train(config, workdir, device_bytes):
    config.data.device_bytes = device_bytes
    train_and_evaluate(config, workdir)
    return restore.load_state(workdir)[1]


def count_windows(monkeypatch):
    """Collects the counts that are asked of a stream."""
    counts, next_window = [], batches.next_window

    def counted(raw_batches, count, capacity):
        counts.append(count)
        return next_window(raw_batches, count, capacity)

    monkeypatch.setattr(batches, "next_window", counted)
    return counts


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return train(moons(), tmp_path_factory.mktemp("runs") / "undisturbed", 2**32)


def test_parameters_are_the_same_on_both_paths(tmp_path, monkeypatch, undisturbed):
    counts = count_windows(monkeypatch)
    streamed = train(moons(), tmp_path / "run", 0)
    assert sum(counts) == 60 and {2, 5} <= set(counts)
    jax.tree.map(np.testing.assert_array_equal, streamed, undisturbed)


def test_parameters_are_the_same_for_images_with_labels_alone(tmp_path):
    on_devices = train(digits(), tmp_path / "devices", 2**32)
    streamed = train(digits(), tmp_path / "host", 0)
    jax.tree.map(np.testing.assert_array_equal, streamed, on_devices)


def test_a_stopped_run_goes_on_with_the_other_path(tmp_path, monkeypatch, undisturbed):
    class Stopping(Exception):
        pass

    save = checkpoint.Checkpoints.save

    def save_and_stop(checkpoints, state, sums):
        save(checkpoints, state, sums)
        if int(state.step) == 26:
            checkpoints.wait()
            raise Stopping

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", save_and_stop)
        with pytest.raises(Stopping):
            train(moons(), tmp_path / "run", 2**32)
    assert int(restore.load_state(tmp_path / "run")[1].step) == 26
    resumed = train(moons(), tmp_path / "run", 0)
    jax.tree.map(np.testing.assert_array_equal, resumed, undisturbed)


def test_only_larger_sets_stream():
    config = trainer.resolve(moons())
    dataset = datasets.load(config.data)
    pool = make_pool(dataset, make_split(dataset, config.data))

    def next_data(device_bytes):
        config.data.device_bytes = device_bytes
        views = augment.make_views(config, dataset.info)
        key_data, _ = run_keys(config.seed)
        return batches.make_batches(pool, config, views, key_data, 0).next_data(3)

    assert isinstance(next_data(dataset.x_train.nbytes), Pool)
    assert isinstance(next_data(dataset.x_train.nbytes - 1), Window)


def test_a_negative_size_is_refused(tmp_path):
    config = moons()
    config.data.device_bytes = -1
    with pytest.raises(InputError, match="config.data.device_bytes is -1, expected at least 0"):
        trainer.train_and_evaluate(config, tmp_path / "run")
