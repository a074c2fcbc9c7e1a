"""A workdir belongs to one config and one set of data."""

import errno
import fcntl
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny

from flowgmm_jax.errors import InputError
from flowgmm_jax.files import read_json, write_json
from flowgmm_jax.runs.workdir import check_agrees, claim, lock
from flowgmm_jax.training import trainer

ROOT = Path(__file__).parents[2]
DATA = {"shape": [2], "num_classes": 2, "fingerprint": "1f"}


def config(**fields):
    return {"seed": 0, "train": {"steps": 5, "eval_every": 1}} | fields


def contents(workdir):
    return {
        path: path.read_bytes()
        for path in workdir.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def trained(workdir):
    """As if a checkpoint had been saved."""
    (workdir / "checkpoints" / "5").mkdir(parents=True)
    return workdir


def test_another_config_is_refused_and_nothing_is_changed(tmp_path):
    claim(tmp_path, config(seed=0), DATA)
    trained(tmp_path)
    with pytest.raises(InputError, match=r"config.seed = 0, not 1: choose another --workdir"):
        claim(tmp_path, config(seed=1), DATA)
    assert read_json(tmp_path / "config.json")["seed"] == 0


def test_a_config_whose_run_never_saved_is_replaced(tmp_path):
    claim(tmp_path, config(seed=0), DATA)
    claim(tmp_path, config(seed=1), DATA)
    assert read_json(tmp_path / "config.json")["seed"] == 1


def test_how_often_to_look_may_change(tmp_path):
    claim(tmp_path, config(), DATA)
    trained(tmp_path)
    claim(tmp_path, config(train={"steps": 5, "eval_every": 3}), DATA)


def test_a_field_that_one_config_has_is_compared(tmp_path):
    claim(tmp_path, config(), DATA)
    trained(tmp_path)
    with pytest.raises(InputError, match="no config.added, not 1"):
        claim(tmp_path, config(added=1), DATA)


def test_a_run_from_before_a_field_goes_on_where_the_field_changes_nothing(tmp_path):
    claim(tmp_path, config(data={"name": "moons"}), DATA)
    trained(tmp_path)
    claim(tmp_path, config(data={"name": "moons", "label": "", "image_size": 0}), DATA)
    with pytest.raises(InputError, match="config.data.image_size = 0, not 8"):
        claim(tmp_path, config(data={"name": "moons", "label": "", "image_size": 8}), DATA)


def test_the_description_of_the_data_is_for_people(tmp_path):
    claim(tmp_path, config(), DATA | {"description": {"notes": ["a"]}})
    trained(tmp_path)
    claim(tmp_path, config(), DATA | {"description": {"notes": []}})


@pytest.mark.parametrize("name", ["config.json", "data.json"])
def test_checkpoints_without_a_config_or_data_are_refused(tmp_path, name):
    claim(tmp_path, config(), DATA)
    (trained(tmp_path) / name).unlink()
    with pytest.raises(InputError, match=f"exists, but .*{name} does not exist"):
        claim(tmp_path, config(), DATA)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (DATA | {"fingerprint": "2e"}, r"data.fingerprint = '1f', not '2e': choose another"),
        (DATA | {"shape": [3]}, r"data.shape = \[2\], not \[3\]"),
        (DATA | {"levels": 256}, "no data.levels, not 256"),
        ({"shape": [2], "num_classes": 2}, "data.fingerprint = '1f', not without it"),
    ],
    ids=["other examples", "another shape", "a fact more", "a fact less"],
)
def test_other_data_are_refused_and_nothing_is_changed(tmp_path, data, message):
    claim(tmp_path, config(), DATA)
    trained(tmp_path)
    with pytest.raises(InputError, match=message):
        claim(tmp_path, config(), data)
    assert read_json(tmp_path / "data.json") == DATA


def test_tuples_are_the_lists_that_json_reads_back(tmp_path):
    claim(tmp_path, config(augment=(1, 2)), DATA | {"shape": (2,)})
    claim(trained(tmp_path), config(augment=(1, 2)), DATA | {"shape": (2,)})


@pytest.mark.parametrize(
    ("ours", "message"),
    [
        (
            (config(seed=1), DATA),
            "process 0 has config.seed = 0, not 1: expected the same flags",
        ),
        ((config(added=1), DATA), "process 0 has no config.added, not 1"),
        (
            (config(), DATA | {"fingerprint": "2e"}),
            "process 0 has data.fingerprint = '1f', not '2e'",
        ),
    ],
    ids=["another config", "a field more", "other data"],
)
def test_processes_that_differ_are_named_by_the_field(ours, message):
    primary = config(data={"data_dir": "there"}), DATA
    check_agrees(config(data={"data_dir": "here"}), DATA, primary)
    with pytest.raises(InputError, match=message):
        check_agrees(*ours, (config(), DATA))


class Begun(Exception):
    """Training is about to begin."""


def begin(*arguments):
    raise Begun


def test_other_data_behind_the_same_path_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "run_loop", begin)
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    data = tmp_path / "own.npz"
    own = tiny.complete_config()
    own.data.update(name="npz", data_dir=str(data), num_labels=4)
    own.train.update(steps=4, batch_labeled=2, batch_unlabeled=2)
    np.savez(data, x_train=rng.normal(size=(40, 2)).astype(np.float32), y_train=y)
    with pytest.raises(Begun):
        trainer.train(own, tmp_path / "run")
    write_json(tmp_path / "run" / "result.json", {"accuracy": 50.0})
    before = contents(tmp_path / "run")
    np.savez(data, x_train=rng.normal(size=(40, 2)).astype(np.float32), y_train=y)
    with pytest.raises(InputError, match=r"data.fingerprint"):
        trainer.train(own, tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path):
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": float("inf"), "c": 1.0})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": None, "c": 1.0}


@pytest.mark.parametrize(
    ("flow", "message"),
    [
        ({"name": "glow", "alpha": 0.05, "width": 64}, r"no config.flow.width, not 64"),
        ({"name": "glow"}, r"config.flow.alpha = 0.05, not without it"),
        ({"name": "glow", "alpha": {"value": 0.05}}, r"config.flow.alpha = 0.05, not without it"),
        ({"name": "glow", "alpha": 0.1}, r"config.flow.alpha = 0.05, not 0.1"),
    ],
    ids=["an extra argument", "an argument less", "a section instead", "another value"],
)
def test_arguments_of_the_flow_are_all_compared(tmp_path, flow, message):
    claim(tmp_path, config(flow={"name": "glow", "alpha": 0.05}), DATA)
    before = (trained(tmp_path) / "config.json").read_bytes()
    with pytest.raises(InputError, match=message):
        claim(tmp_path, config(flow=flow), DATA)
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_field_whose_name_begins_like_a_free_one_is_compared(tmp_path):
    claim(tmp_path, config(data={"data_dir": "a", "data_dir_2": "a"}), DATA)
    trained(tmp_path)
    claim(tmp_path, config(data={"data_dir": "b", "data_dir_2": "a"}), DATA)
    with pytest.raises(InputError, match=r"config.data.data_dir_2 = 'a', not 'b'"):
        claim(tmp_path, config(data={"data_dir": "b", "data_dir_2": "b"}), DATA)


def test_a_result_without_checkpoints_is_kept_from_another_config(tmp_path):
    claim(tmp_path, config(seed=0), DATA)
    write_json(tmp_path / "result.json", {"accuracy": 50.0})
    with pytest.raises(InputError, match=r"config.seed = 0, not 1"):
        claim(tmp_path, config(seed=1), DATA)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"\0\0"], ids=repr)
def test_a_damaged_config_of_a_run_is_one_line(tmp_path, content):
    (trained(tmp_path) / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=r"config.json (is not JSON|holds a list)") as caught:
        claim(tmp_path, config(), DATA)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "config.json").read_bytes() == content


HOLD = """
import sys
from pathlib import Path
from flowgmm_jax.runs.workdir import lock
with lock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_in_a_workdir_is_refused_until_the_first_is_dead(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"locked\n"
    message = rf"{tmp_path} is in use by another run \(process {process.pid} on .*\)"
    with pytest.raises(InputError, match=message) as caught, lock(tmp_path):
        pass
    assert "\n" not in str(caught.value)
    process.kill()
    process.communicate()
    with lock(tmp_path):
        pass


def test_where_there_are_no_locks_a_line_says_so(tmp_path, monkeypatch, capsys):
    def refuse(file, operation):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with lock(tmp_path):
        pass
    expected = f"{tmp_path}/.lock cannot be locked (Operation not supported): start no second run\n"
    assert capsys.readouterr().err == expected


def test_the_second_run_changes_nothing(tmp_path):
    with lock(tmp_path):
        before = {path: path.read_bytes() for path in tmp_path.iterdir()}
        with pytest.raises(InputError, match="in use by another run"):
            trainer.train(tiny.complete_config(), tmp_path)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    (tmp_path / "result.json.tmp").symlink_to("/dev/full")
    with pytest.raises(OSError, match=rf"^cannot write {path}: No space left on device$"):
        write_json(path, {"a": 2})
    assert read_json(path) == {"a": 1}
    assert not (tmp_path / "result.json.tmp").is_symlink()


def test_a_workdir_that_cannot_be_written_is_one_line():
    with pytest.raises(OSError) as caught, lock(Path("/proc/self/fdinfo/run")):
        pass
    assert "\n" not in str(caught.value)
    assert "/proc/self/fdinfo/run" in str(caught.value)


def test_an_infinite_field_comes_back_as_it_is(tmp_path):
    claim(tmp_path, config(clip_norm=float("inf")), DATA)
    assert read_json(tmp_path / "config.json")["clip_norm"] == float("inf")
    claim(trained(tmp_path), config(clip_norm=float("inf")), DATA)
