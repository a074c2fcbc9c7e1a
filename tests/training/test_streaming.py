"""A run that streams its examples from the host is bit for bit the run on the devices."""

import jax
import numpy as np
import pytest
import tiny

from flowgmm_jax import InputError
from flowgmm_jax.config import complete
from flowgmm_jax.data import batches
from flowgmm_jax.data.batches import Window
from flowgmm_jax.data.splits import Pool
from flowgmm_jax.experiment import make_experiment
from flowgmm_jax.runs import checkpoint
from flowgmm_jax.training import trainer
from flowgmm_jax.training.optimizer import make_optimizer


def moons():
    config = tiny.complete_config()
    config.augment.jitter = (0.2, 0.1)
    # Intervals that calls of five steps do not divide.
    config.train.update(steps=60, log_every=7, eval_every=0, checkpoint_every=13)
    return config


def digits():
    experiment = tiny.get_config()
    experiment.data.update(name="digits", num_labels=20)
    experiment.flow = dict(name="glow", stages=((1, 1),), width=4)
    experiment.prior.means = "random"
    experiment.augment = dict(crop=1)
    experiment.train.update(steps=20, batch_unlabeled=0, microbatches=4, log_every=4, eval_every=0)
    return complete(experiment)


def train(config, workdir, device_bytes):
    config.data.device_bytes = device_bytes
    trainer.train(config, workdir)
    return trainer.load_state(workdir)[1]


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

    def save_and_stop(checkpoints, step, *arguments):
        save(checkpoints, step, *arguments)
        if step == 26:
            checkpoints.wait()
            raise Stopping

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", save_and_stop)
        with pytest.raises(Stopping):
            train(moons(), tmp_path / "run", 2**32)
    assert int(trainer.load_state(tmp_path / "run")[1].step) == 26
    resumed = train(moons(), tmp_path / "run", 0)
    jax.tree.map(np.testing.assert_array_equal, resumed, undisturbed)


def test_only_larger_sets_stream():
    experiment = make_experiment(moons())

    def next_data(device_bytes):
        experiment.config.data.device_bytes = device_bytes
        _, found = trainer.make_steps(experiment, make_optimizer(experiment.config), 0)
        return found.next_data(3)

    size = experiment.dataset.x_train.nbytes
    assert isinstance(next_data(size), Pool)
    assert isinstance(next_data(size - 1), Window)


def test_a_negative_size_is_refused(tmp_path):
    config = moons()
    config.data.device_bytes = -1
    with pytest.raises(
        InputError, match="config.data.device_bytes is -1, expected an integer, 0 to"
    ):
        trainer.train(config, tmp_path / "run")
