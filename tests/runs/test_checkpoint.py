"""Checkpoints: saved whole, told sound from damaged, and never lost."""

import json
import pickle
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flowgmm_jax.errors import InputError
from flowgmm_jax.runs import checkpoint, state_file
from flowgmm_jax.runs.checkpoint import FILE, Checkpoints, restore, set_aside

CONFIG = {"seed": 0, "flow": {"name": "glow"}}


class State(NamedTuple):
    step: jax.Array
    params: dict
    empty: tuple = ()


def make_state(step=1):
    kernel = jnp.arange(6.0).reshape(2, 3) + step
    params = {"kernel": kernel, "half": jnp.ones(4, jnp.bfloat16), "scalar": jnp.float32(step)}
    return State(jnp.int32(step), params)


def save(workdir, *steps, config=CONFIG):
    checkpoints = Checkpoints(workdir, config)
    for step in steps:
        checkpoints.save(make_state(step), {"loss": step / 3})
    checkpoints.close()
    return workdir / "checkpoints"


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def contents(workdir):
    return {path: path.read_bytes() for path in workdir.rglob("*") if path.is_file()}


def assert_same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_what_is_restored_is_what_was_saved(tmp_path):
    save(tmp_path, 3, 7)
    (state, sums, config), damaged = restore(tmp_path, jax.eval_shape(make_state), CONFIG)
    assert_same(state, make_state(7))
    assert (sums, config, damaged) == ({"loss": 7 / 3}, CONFIG, {})


def test_the_newest_two_are_kept(tmp_path):
    assert names(save(tmp_path, 1, 2, 3)) == ["2", "3"]


def test_a_step_is_saved_once(tmp_path):
    checkpoints = Checkpoints(tmp_path, CONFIG)
    checkpoints.save(make_state(1), {"loss": 1.0})
    checkpoints.save(make_state(1), {"loss": 2.0})
    checkpoints.close()
    assert restore(tmp_path, make_state(), CONFIG).content.sums == {"loss": 1.0}


def test_without_checkpoints_there_is_none(tmp_path):
    assert restore(tmp_path, make_state(), CONFIG) is None
    assert names(tmp_path) == []


def truncate(path):
    path.write_bytes(path.read_bytes()[:-20])


def empty(path):
    path.write_bytes(b"")


def zeros(path):  # as after a power cut
    path.write_bytes(bytes(path.stat().st_size))


def flip(position):
    def damage(path):
        data = bytearray(path.read_bytes())
        data[position] ^= 1
        path.write_bytes(data)

    return damage


def remove_directory(path):
    shutil.rmtree(path.parent)


DAMAGE = {
    "truncated": (truncate, r"state.msgpack has \d+ of \d+ bytes"),
    "empty": (empty, "does not begin with the line of its digest"),
    "zeros": (zeros, "does not begin with the line of its digest"),
    "a flipped bit of the data": (flip(-40), "are not those that were saved"),
    "a flipped bit of the digest": (flip(60), "are not those that were saved"),
    "a flipped bit of the length": (flip(10), r"has \d+ of \d+ bytes"),
    "a missing file": (Path.unlink, "state.msgpack is missing"),
    "a missing directory": (remove_directory, "state.msgpack is missing"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, damage, reason):
    newest = save(tmp_path, 3, 7) / "7"
    damage(newest / FILE)
    before = contents(tmp_path)
    content, damaged = restore(tmp_path, make_state(), CONFIG)
    assert_same(content.state, make_state(3))
    assert list(damaged) == [newest]
    assert re.search(reason, damaged[newest])
    assert contents(tmp_path) == before


def test_every_flipped_bit_is_noticed(tmp_path):
    path = tmp_path / "state"
    state_file.write(path, state_file.Content(make_state(), {"loss": 0.5}, CONFIG))
    data = path.read_bytes()
    for position in range(len(data)):
        for bit in (1, 128):
            changed = bytearray(data)
            changed[position] ^= bit
            path.write_bytes(changed)
            try:
                content = state_file.read(path, make_state())
            except state_file.Damaged:
                continue
            # White space of the header, or a digit of it in another case, changes nothing.
            assert position < data.index(b"\n")
            assert_same(content.state, make_state())


@pytest.mark.parametrize(
    ("like", "reason"),
    [
        (
            make_state()._replace(params={}),
            r"holds bfloat16\[4\] as .params\['half'\], not nothing",
        ),
        (
            make_state()._replace(step=jnp.float32(0)),
            r"holds int32\[\] as .step, not float32\[\]",
        ),
        (
            make_state()._replace(params=make_state().params | {"kernel": jnp.ones((3, 2))}),
            r"holds float32\[2, 3\] as .params\['kernel'\], not float32\[3, 2\]",
        ),
        (make_state()._replace(empty=(jnp.ones(1),)), r"holds nothing as .empty\[0\], not float32"),
    ],
    ids=["fewer leaves", "another type", "another shape", "more leaves"],
)
def test_a_checkpoint_of_another_state_is_named(tmp_path, like, reason):
    save(tmp_path, 3)
    with pytest.raises(InputError, match=reason):
        restore(tmp_path, like, CONFIG)


def test_a_checkpoint_of_another_config_is_named(tmp_path):
    save(tmp_path, 3)
    save(tmp_path, 7, config=CONFIG | {"seed": 1})
    content, damaged = restore(tmp_path, make_state(), CONFIG)
    assert int(content.state.step) == 3
    assert list(damaged.values()) == ["it is of a run with config.seed = 1, not 0"]


def test_where_none_is_sound_one_line_says_why(tmp_path):
    directory = save(tmp_path, 3, 7)
    truncate(directory / "7" / FILE)
    empty(directory / "3" / FILE)
    before = contents(tmp_path)
    with pytest.raises(InputError, match="holds no sound checkpoint: 7: .*; 3: .*") as caught:
        restore(tmp_path, make_state(), CONFIG)
    assert "\n" not in str(caught.value)
    assert contents(tmp_path) == before


def test_files_that_may_not_be_read_are_not_called_damaged(tmp_path, monkeypatch):
    def refuse(path, like):
        raise PermissionError(13, "Permission denied", str(path))

    save(tmp_path, 3)
    monkeypatch.setattr(state_file, "read", refuse)
    with pytest.raises(PermissionError):
        restore(tmp_path, make_state(), CONFIG)


def test_a_damaged_checkpoint_is_moved_and_its_step_saved_again(tmp_path, capsys):
    for _ in range(2):
        newest = save(tmp_path, 3, 7) / "7"
        flip(-40)(newest / FILE)
        bad = (newest / FILE).read_bytes()
        set_aside(tmp_path, restore(tmp_path, make_state(), CONFIG).damaged)
    aside = tmp_path / "damaged_checkpoints"
    assert names(aside) == ["7", "7-2"]
    assert (aside / "7-2" / FILE).read_bytes() == bad
    line = capsys.readouterr().err.splitlines()[0]
    assert re.fullmatch(rf"{newest} is damaged \(.*\): moved to {aside}/7", line)
    # Neither in place nor aside do damaged ones count among those that are kept.
    assert names(save(tmp_path, 7)) == ["3", "7"]
    assert_same(restore(tmp_path, make_state(), CONFIG).content.state, make_state(7))


class Executed:
    """What a pickle of this does when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_in_place_of_a_checkpoint_is_not_executed(tmp_path):
    directory, trace = save(tmp_path, 3, 7), tmp_path / "executed"
    payload = pickle.dumps(Executed(trace))
    pickle.loads(payload)
    assert trace.exists()
    trace.unlink()
    for path in (directory / "7").rglob("*"):
        if path.is_file():
            path.write_bytes(payload)
    (directory / "3" / "state" / "state.pkl").write_bytes(payload)
    assert int(restore(tmp_path, make_state(), CONFIG).content.state.step) == 3
    assert not trace.exists()


def test_what_a_killed_save_left_is_removed_and_not_restored(tmp_path):
    directory = save(tmp_path, 3)
    unfinished = directory / "7.orbax-checkpoint-tmp"
    unfinished.mkdir()
    (unfinished / "part").write_bytes(b"part")
    assert int(restore(tmp_path, make_state(), CONFIG).content.state.step) == 3
    assert names(save(tmp_path, 7)) == ["3", "7"]


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 2, 3)
    before = contents(tmp_path)

    def write(path, content):
        path.write_bytes(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.state_file, "write", write)
    checkpoints = Checkpoints(tmp_path, CONFIG)
    checkpoints.save(make_state(7), {})
    message = f"cannot save a checkpoint in {tmp_path}/checkpoints: No space left on device"
    with pytest.raises(OSError) as caught:
        checkpoints.wait()
    assert str(caught.value) == message
    assert {path: data for path, data in contents(tmp_path).items() if path in before} == before


def test_the_header_of_a_file_can_be_read_by_a_person(tmp_path):
    path = save(tmp_path, 3) / "3" / FILE
    header, payload = path.read_bytes().split(b"\n", 1)
    assert json.loads(header)["bytes"] == len(payload)
