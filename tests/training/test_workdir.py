"""A workdir belongs to one config and one set of data."""

import json

import numpy as np
import pytest
import tiny
from ml_collections import ConfigDict

from flowgmm_jax.errors import InputError
from flowgmm_jax.json_files import read_json, write_json
from flowgmm_jax.training.metrics import MetricsWriter
from flowgmm_jax.training.trainer import train_and_evaluate
from flowgmm_jax.training.workdir import claim


def config(**fields):
    return ConfigDict({"seed": 0, "train": {"steps": 5, "eval_every": 1}} | fields)


def trained(workdir):
    """As if a checkpoint had been saved."""
    (workdir / "checkpoints" / "5").mkdir(parents=True)
    return workdir


def test_another_config_is_refused_and_nothing_is_changed(tmp_path):
    claim(tmp_path, config(seed=0))
    trained(tmp_path)
    with pytest.raises(InputError, match=r"config.seed = 0, not 1: choose another --workdir"):
        claim(tmp_path, config(seed=1))
    assert read_json(tmp_path / "config.json")["seed"] == 0


def test_a_config_whose_run_never_saved_is_replaced(tmp_path):
    claim(tmp_path, config(seed=0))
    claim(tmp_path, config(seed=1))
    assert read_json(tmp_path / "config.json")["seed"] == 1


def test_how_often_to_look_may_change(tmp_path):
    claim(tmp_path, config())
    trained(tmp_path)
    claim(tmp_path, config(train={"steps": 5, "eval_every": 3}))


def test_a_field_that_a_newer_version_added_is_not_compared(tmp_path):
    claim(tmp_path, config())
    trained(tmp_path)
    claim(tmp_path, config(added=1))


def test_checkpoints_without_a_config_are_refused(tmp_path):
    with pytest.raises(InputError, match="exists, but .*config.json does not exist"):
        claim(trained(tmp_path), config())


def test_other_data_behind_the_same_path_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    data = tmp_path / "own.npz"
    own = tiny.get_config()
    own.data.update(name="npz", data_dir=str(data), num_labels=4)
    own.train.update(steps=4, batch_labeled=2, batch_unlabeled=2)
    np.savez(data, x_train=rng.normal(size=(40, 2)).astype(np.float32), y_train=y)
    train_and_evaluate(own, tmp_path / "run")
    before = (tmp_path / "run" / "result.json").read_bytes()
    np.savez(data, x_train=rng.normal(size=(40, 2)).astype(np.float32), y_train=y)
    with pytest.raises(InputError, match=r"config.data.fingerprint"):
        train_and_evaluate(own, tmp_path / "run")
    assert (tmp_path / "run" / "result.json").read_bytes() == before


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path):
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": float("inf"), "c": 1.0})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": None, "c": 1.0}


def rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_rows_past_the_checkpoint_and_a_torn_row_are_dropped(tmp_path):
    writer = MetricsWriter(tmp_path, 0, started=0.0)
    for step in (1, 2, 3):
        writer.write(step, {"loss": float(step)})
    writer.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    MetricsWriter(tmp_path, 2, started=0.0).close()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2]


def test_rows_of_a_run_whose_checkpoints_are_gone_are_kept_aside(tmp_path):
    writer = MetricsWriter(tmp_path, 0, started=0.0)
    writer.write(1, {"loss": 1.0})
    writer.close()
    MetricsWriter(tmp_path, 0, started=0.0).close()
    assert rows(tmp_path) == []
    assert (tmp_path / "metrics.jsonl.old").exists()
