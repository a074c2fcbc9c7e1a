"""A run from its config to its result, stopped and gone on with, and what it refuses."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import tiny

import flowgmm_jax as fg
from flowgmm_jax.data import datasets
from flowgmm_jax.data.splits import make_split
from flowgmm_jax.evaluation.statistics import make_evaluator
from flowgmm_jax.ranges import RANGES, Range
from flowgmm_jax.training import trainer as trainer_module
from flowgmm_jax.training.trainer import load_state, train

ROOT = Path(__file__).parents[2]
ROW_KEYS = {"step", "seconds", "loss", "loss_labeled", "loss_marginal", "loss_consistency"}


def read_rows(workdir):
    rows = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def contents(workdir):
    return {
        str(path.relative_to(workdir)): path.read_bytes()
        for path in workdir.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of an undisturbed run, not to be changed."""
    workdir = tmp_path_factory.mktemp("runs") / "finished"
    train(tiny.complete_config(), workdir)
    return workdir


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished run, to be changed."""
    return shutil.copytree(finished, tmp_path / "copy")


def test_a_run_writes_its_files(finished):
    assert {
        "config.json",
        "data.json",
        "metrics.jsonl",
        "checkpoints",
        "result.json",
        "tensorboard",
    } <= {path.name for path in finished.iterdir()}
    assert not list(finished.glob("*.tmp"))


def test_the_result_has_the_fixed_keys(finished):
    result = json.loads((finished / "result.json").read_text())
    assert set(result) >= {"accuracy", "bits_per_dim", "step", "seconds"}
    assert result["step"] == 1500
    assert 80 < result["accuracy"] <= 100
    assert np.isfinite(result["bits_per_dim"])
    assert result["seconds"] > 0


def test_a_run_describes_its_data(finished):
    facts = json.loads((finished / "data.json").read_text())
    assert facts["shape"] == [2]
    assert facts["num_classes"] == 2
    assert len(facts["fingerprint"]) == 32
    config = json.loads((finished / "config.json").read_text())
    assert config["train"]["steps"] == 1500


def test_rows_of_metrics_come_as_often_as_configured(finished):
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    training = [row for row in rows if "loss" in row]
    assert [row["step"] for row in training] == list(range(100, 1501, 100))
    assert all(set(row) >= ROW_KEYS for row in training)
    assert [row["step"] for row in rows if "test_accuracy" in row] == [700, 1400, 1500]
    assert np.all(np.diff([row["seconds"] for row in rows]) >= 0)


def test_the_loss_falls(finished):
    losses = [row["loss"] for row in read_rows(finished) if "loss" in row]
    assert losses[-1] < losses[0]


def test_a_reversible_flow_trains_alike(tmp_path):
    rows = []
    for reversible in (False, True):
        config = tiny.complete_config()
        config.flow.reversible = reversible
        config.train.steps = 20
        config.train.log_every = 10
        train(config, tmp_path / str(reversible))
        rows.append(read_rows(tmp_path / str(reversible)))
    for ordinary, other in zip(*rows, strict=True):
        assert other == pytest.approx(ordinary, rel=1e-3, abs=1e-3)


def test_a_finished_run_is_left_as_it_is(copy, monkeypatch):
    def refuse(train_steps):
        def steps(*arguments):
            raise AssertionError("trained again")

        return steps

    monkeypatch.setattr(trainer_module.devices, "map_train_steps", refuse)
    before = contents(copy)
    result = train(tiny.complete_config(), copy)
    assert result._asdict() == json.loads((copy / "result.json").read_text())
    assert contents(copy) == before


def test_a_run_without_its_result_is_evaluated_and_appends_no_row(copy):
    result = json.loads((copy / "result.json").read_text())
    (copy / "result.json").unlink()
    rows = read_rows(copy)
    assert train(tiny.complete_config(), copy).accuracy == result["accuracy"]
    assert read_rows(copy) == rows


def test_load_gives_the_model_and_the_averaged_parameters(finished):
    model, params = fg.load(finished)
    _, state = load_state(finished)
    jax.tree.map(np.testing.assert_array_equal, params, state.ema_params)
    assert not np.array_equal(state.params["prior"].means, params["prior"].means)
    assert int(state.step) == 1500
    dataset = datasets.load(tiny.complete_config().data)
    metrics = make_evaluator(model, 0)(params, dataset.x_test, dataset.y_test)
    result = json.loads((finished / "result.json").read_text())
    assert metrics["accuracy"] == pytest.approx(result["accuracy"])
    assert metrics["bits_per_dim"] == pytest.approx(result["bits_per_dim"], rel=1e-5)


def test_what_is_loaded_twice_is_compiled_once(finished):
    (model, params), (again, _) = fg.load(finished), fg.load(finished)
    assert model == again and hash(model) == hash(again)
    traces = []

    def log_density(model, x):
        traces.append(x)
        return model.log_density(params, x)

    compiled = jax.jit(log_density, static_argnums=0)
    x = np.zeros((3, 2), np.float32)
    np.testing.assert_array_equal(compiled(model, x), compiled(again, x))
    assert len(traces) == 1


@pytest.mark.parametrize("form", [str, Path], ids=["text", "path"])
def test_load_takes_a_directory_as(finished, form):
    model, params = fg.load(form(finished))
    assert model.log_density(params, np.zeros((3, 2), np.float32)).shape == (3,)


def stop_after_the_first_row(config_file, workdir):
    """Starts train.py, sends SIGTERM after the first row of metrics; the finished process."""
    command = [sys.executable, "train.py", f"--config={config_file}", f"--workdir={workdir}"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    metrics = workdir / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if metrics.exists() and metrics.read_text().strip():
            process.send_signal(signal.SIGTERM)
            break
        time.sleep(0.005)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The directory of a run stopped half way, its exit code and what it wrote to stderr."""
    workdir = tmp_path_factory.mktemp("runs") / "stopped"
    return workdir, *stop_after_the_first_row(tiny.__file__, workdir)


def test_a_stopped_run_saves_its_state_and_says_so(stopped):
    workdir, code, stderr = stopped
    assert code == 143
    last = stderr.strip().splitlines()[-1]
    step = int(load_state(workdir)[1].step)
    assert last == f"stopped by SIGTERM at step {step}, state saved"
    assert 100 <= step < 1500
    assert not (workdir / "result.json").exists()
    assert "Traceback" not in stderr


@pytest.fixture(scope="module")
def resumed(stopped, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "resumed"
    shutil.copytree(stopped[0], workdir)
    train(tiny.complete_config(), workdir)
    return workdir


def test_a_resumed_run_ends_in_the_same_state_bit_for_bit(finished, resumed):
    ours, theirs = (load_state(workdir)[1] for workdir in (resumed, finished))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_a_resumed_run_has_the_result_of_an_undisturbed_one(finished, resumed):
    ours, theirs = (
        json.loads((workdir / "result.json").read_text()) for workdir in (resumed, finished)
    )
    assert ours | {"seconds": 0} == theirs | {"seconds": 0}


def test_a_resumed_run_has_a_row_for_every_interval(finished, resumed):
    ours, theirs = ([row["step"] for row in read_rows(run)] for run in (resumed, finished))
    assert ours == theirs


def test_a_resumed_run_has_the_rows_of_an_undisturbed_one(finished, resumed):
    assert read_rows(resumed) == read_rows(finished)


def test_rows_past_the_checkpoint_are_dropped(copy):
    shutil.rmtree(copy / "checkpoints" / "1500")
    rows = read_rows(copy)
    (copy / "result.json").unlink()
    with (copy / "metrics.jsonl").open("a") as file:
        file.write('{"step": 1600, "seco')  # a row cut short
    train(tiny.complete_config(), copy)
    assert read_rows(copy) == rows


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [("train", "batch_labeled", 8), ("flow", "hidden", (16,)), ("optimizer", "ema_decay", 0.9)],
)
def test_a_directory_of_another_config_is_refused_and_left_alone(copy, section, field, value):
    config = tiny.complete_config()
    config[section][field] = value
    before = contents(copy)
    with pytest.raises(fg.InputError, match=f"config.{section}.{field} = .*choose another"):
        train(config, copy)
    assert contents(copy) == before


def test_how_often_to_look_may_change(copy):
    config = tiny.complete_config()
    config.train.eval_every = 50
    assert train(config, copy).step == 1500


def damage(path):
    for file in path.rglob("*"):
        if file.is_file():
            file.write_bytes(b"\0" * 10)


def corrupt_arrays(workdir):
    damage(workdir / "checkpoints")


def remove_checkpoints(workdir):
    shutil.rmtree(workdir / "checkpoints")


def remove_config(workdir):
    (workdir / "config.json").unlink()


def corrupt_config(workdir):
    (workdir / "config.json").write_text("{")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (corrupt_arrays, "checkpoints holds no sound checkpoint: 1500: .*; 1000: "),
        (remove_checkpoints, "checkpoints holds no checkpoint"),
        (remove_config, "config.json does not exist"),
        (corrupt_config, "config.json is not JSON"),
    ],
)
def test_load_says_in_one_line_what_is_wrong_with_a_run(copy, harm, message):
    harm(copy)
    with pytest.raises(fg.InputError, match=message) as caught:
        fg.load(copy)
    assert "\n" not in str(caught.value)


def test_load_creates_nothing_where_there_is_no_run(tmp_path):
    with pytest.raises(fg.InputError, match="config.json does not exist"):
        fg.load(tmp_path / "nothing")
    assert list(tmp_path.iterdir()) == []


def test_training_refuses_to_begin_anew_where_no_checkpoint_is_sound(copy):
    corrupt_arrays(copy)
    before = contents(copy)
    with pytest.raises(fg.InputError, match="no sound checkpoint") as caught:
        train(tiny.complete_config(), copy)
    assert "\n" not in str(caught.value)
    assert contents(copy) == before


def test_training_goes_on_from_the_newest_sound_checkpoint(finished, copy, capsys):
    newest = copy / "checkpoints" / "1500"
    damage(newest)
    train(tiny.complete_config(), copy)
    line = capsys.readouterr().err.splitlines()[0]
    assert line.startswith(f"{newest} is damaged (")
    assert line.endswith(f"): moved to {copy / 'damaged_checkpoints' / '1500'}")
    ours, theirs = (load_state(workdir)[1] for workdir in (copy, finished))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert read_rows(copy) == read_rows(finished)


def test_load_names_a_damaged_checkpoint_and_only_reads(copy, capsys):
    newest = copy / "checkpoints" / "1500"
    damage(newest)
    before = contents(copy)
    _, state = load_state(copy)
    assert int(state.step) == 1000
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{newest} is damaged (")
    assert line.endswith("): using that of step 1000")
    assert contents(copy) == before


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        ("train", "steps", 0, "config.train.steps is 0, expected an integer, 1 to"),
        ("train", "batch_labeled", 0, "config.train.batch_labeled is 0, expected an integer, 1 to"),
        ("train", "batch_unlabeled", -2, "config.train.batch_unlabeled is -2"),
        ("train", "log_every", 0, "config.train.log_every is 0, expected an integer, 1 to"),
        ("train", "eval_every", -1, "config.train.eval_every is -1"),
        ("train", "checkpoint_every", -1, "config.train.checkpoint_every is -1"),
        (
            "train",
            "max_nonfinite_steps",
            0,
            "train.max_nonfinite_steps is 0, expected an integer, 1 to",
        ),
        ("augment", "crop", 2, "config.augment.*images"),
        ("augment", "elastic", 1.0, "config.augment.*images"),
        ("augment", "cutout", -1, "config.augment.cutout is -1, expected an integer, 0 to"),
        ("data", "num_labels", 5000, "config.data.num_labels|5000"),
        ("optimizer", "schedule", "step", "config.optimizer.schedule is 'step'"),
        ("loss", "labeled", "hinge", "config.loss.labeled is 'hinge'"),
    ],
)
def test_a_bad_config_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, section, field, value, message
):
    def refuse(train_steps):
        raise AssertionError("the training began")

    monkeypatch.setattr(trainer_module.devices, "map_train_steps", refuse)
    config = tiny.complete_config()
    config[section][field] = value
    with pytest.raises(fg.InputError, match=message):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_whose_steps_are_not_finite_ends_with_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(RANGES, "prior.radius", Range(0, float("inf"), False))
    config = tiny.complete_config()
    config.prior.radius = float("inf")
    config.train.update({"steps": 10, "max_nonfinite_steps": 7})
    message = (
        r"stopped at step 7: the last 7 steps were not finite; in the first of them, step 1, "
        r"it was the loss_labeled and loss_marginal\. The parameters before it are saved"
    )
    for steps_per_call in (5, 1):  # of which the second resumes
        config.train.steps_per_call = steps_per_call
        with pytest.raises(FloatingPointError, match=message):
            train(config, tmp_path / "run")
    state = load_state(tmp_path / "run")[1]
    assert int(state.step) == 7
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params["flow"]))
    # All of its steps were skipped, so the run is no success, whatever more is allowed.
    config.train.max_nonfinite_steps = 100
    with pytest.raises(FloatingPointError, match="stopped at step 10: the last 10 steps"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("name", ["moons", "digits"])
def test_the_labelled_set_does_not_change_with_the_training_seed(name):
    config = tiny.complete_config()
    config.data.name = name
    config.data.num_labels = 0 if name == "moons" else 100
    splits = []
    for seed in (0, 1):
        config.seed = seed
        splits.append(make_split(datasets.load(config.data), config.data))
    jax.tree.map(np.testing.assert_array_equal, *splits)


def test_another_split_seed_gives_another_labelled_set():
    config = tiny.complete_config()
    config.data.name, config.data.num_labels = "digits", 100
    dataset = datasets.load(config.data)
    first = make_split(dataset, config.data).labeled
    config.data.split_seed = 1
    assert not np.array_equal(make_split(dataset, config.data).labeled, first)
