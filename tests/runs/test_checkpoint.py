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
import optax
import pytest

from flowgmm_jax.errors import InputError
from flowgmm_jax.runs import checkpoint
from flowgmm_jax.runs.checkpoint import Checkpoints, restore, set_aside

CONFIG = {"seed": 0, "flow": {"name": "glow"}}


FILE = Path("state") / "params.bin"  # the largest of a checkpoint


class Prior(NamedTuple):
    means: jax.Array
    trainable: tuple = ()


def make_state(step=1):
    kernel = jnp.arange(6.0).reshape(2, 3) + step
    params = {"kernel": kernel, "half": jnp.ones(4, jnp.bfloat16), "scalar": jnp.float32(step)}
    params["prior"] = Prior(jnp.zeros((0, 2)))
    opt_state = optax.adam(1e-3).init(params)
    return {"step": jnp.int32(step), "params": params, "opt_state": opt_state, "empty": ()}


def save(workdir, *steps, config=CONFIG):
    checkpoints = Checkpoints(workdir, config)
    for step in steps:
        checkpoints.save(step, make_state(step), {"loss": step / 3})
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
    step, state, sums, damaged = restore(tmp_path, jax.eval_shape(make_state), CONFIG)
    assert_same(state, make_state(7))
    assert (step, sums, damaged) == (7, {"loss": 7 / 3}, {})


def test_some_fields_are_restored_without_the_others(tmp_path):
    directory = save(tmp_path, 3)
    (directory / "3" / "state" / "opt_state.bin").unlink()
    like = jax.eval_shape(make_state)
    like = {name: like[name] for name in ("params", "step")}
    state = make_state(3)
    expected = {name: state[name] for name in ("params", "step")}
    assert_same(restore(tmp_path, like, CONFIG).state, expected)


def test_the_newest_two_are_kept(tmp_path):
    assert names(save(tmp_path, 1, 2, 3)) == ["2", "3"]


def test_a_step_is_saved_once(tmp_path):
    checkpoints = Checkpoints(tmp_path, CONFIG)
    checkpoints.save(1, make_state(1), {"loss": 1.0})
    checkpoints.save(1, make_state(1), {"loss": 2.0})
    checkpoints.close()
    assert restore(tmp_path, make_state(), CONFIG).sums == {"loss": 1.0}


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
    "truncated": (truncate, r"params.bin is not as it was saved"),
    "empty": (empty, "params.bin is not as it was saved"),
    "zeros": (zeros, "params.bin is not as it was saved"),
    "a flipped bit of the data": (flip(-10), "params.bin is not as it was saved"),
    "a flipped bit of the digest": (flip(60), "params.bin is not as it was saved"),
    "a missing file": (Path.unlink, "params.bin is missing"),
    "a missing directory": (remove_directory, "metadata is missing"),
}


@pytest.mark.parametrize(("damage", "reason"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path, damage, reason):
    newest = save(tmp_path, 3, 7) / "7"
    damage(newest / FILE)
    before = contents(tmp_path)
    step, state, _, damaged = restore(tmp_path, make_state(), CONFIG)
    assert step == 3
    assert_same(state, make_state(3))
    assert list(damaged) == [newest]
    assert re.search(reason, damaged[newest])
    assert "\n" not in damaged[newest]
    assert contents(tmp_path) == before


def test_every_flipped_bit_is_noticed(tmp_path):
    state, reasons = {"step": jnp.int32(3), "params": (jnp.ones(2), ())}, set()
    checkpoints = Checkpoints(tmp_path, CONFIG)
    checkpoints.save(3, state, {"loss": 1.0})
    checkpoints.close()
    directory = tmp_path / "checkpoints" / "3"
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        data = path.read_bytes()
        for position in range(len(data)):
            for bit in (1, 128):
                changed = bytearray(data)
                changed[position] ^= bit
                path.write_bytes(changed)
                try:
                    restored = restore(tmp_path, state, CONFIG)
                except InputError as error:
                    reasons.add(str(error))
                else:  # a file of orbax, of which nothing is read
                    assert path.parent == directory or path.name.startswith("commit")
                    assert_same(restored.state, state)
                    assert restored.sums == {"loss": 1.0}
        path.write_bytes(data)
    files = ("metadata", "params.bin", "step.bin")
    start = f"{tmp_path}/checkpoints holds no sound checkpoint: 3: "
    assert reasons == {
        f"{start}{name} is not as it was saved: its digest is another" for name in files
    }


@pytest.mark.parametrize(
    ("like", "reason"),
    [
        (
            make_state() | {"params": {}},
            r"holds bfloat16\[4\] as params\['half'\], not nothing",
        ),
        (
            make_state() | {"step": jnp.float32(0)},
            r"holds int32\[\] as step, not float32\[\]",
        ),
        (
            make_state() | {"params": make_state()["params"] | {"kernel": jnp.ones((3, 2))}},
            r"holds float32\[2, 3\] as params\['kernel'\], not float32\[3, 2\]",
        ),
        (make_state() | {"empty": (jnp.ones(1),)}, r"holds nothing as empty\[0\], not float32"),
        (make_state() | {"more": jnp.ones(1)}, r"holds nothing as more, not float32\[1\]"),
        (make_state() | {"more": ()}, "more.bin is missing"),
    ],
    ids=[
        "fewer leaves",
        "another type",
        "another shape",
        "more leaves",
        "another field",
        "another empty field",
    ],
)
def test_a_checkpoint_of_another_state_is_named(tmp_path, like, reason):
    save(tmp_path, 3)
    with pytest.raises(InputError, match=reason):
        restore(tmp_path, like, CONFIG)


def test_a_checkpoint_of_another_config_is_named(tmp_path):
    save(tmp_path, 3)
    save(tmp_path, 7, config=CONFIG | {"seed": 1})
    step, _, _, damaged = restore(tmp_path, make_state(), CONFIG)
    assert step == 3
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
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    save(tmp_path, 3)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PermissionError):
        restore(tmp_path, make_state(), CONFIG)


def test_a_damaged_checkpoint_is_moved_and_its_step_saved_again(tmp_path, capsys):
    for _ in range(2):
        newest = save(tmp_path, 3, 7) / "7"
        flip(-10)(newest / FILE)
        bad = (newest / FILE).read_bytes()
        set_aside(tmp_path, restore(tmp_path, make_state(), CONFIG).damaged)
    aside = tmp_path / "damaged_checkpoints"
    assert names(aside) == ["7", "7-2"]
    assert (aside / "7-2" / FILE).read_bytes() == bad
    line = capsys.readouterr().err.splitlines()[0]
    assert re.fullmatch(rf"{newest} is damaged \(.*\): moved to {aside}/7", line)
    # Neither in place nor aside do damaged ones count among those that are kept.
    assert names(save(tmp_path, 7)) == ["3", "7"]
    assert_same(restore(tmp_path, make_state(), CONFIG).state, make_state(7))


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
    assert restore(tmp_path, make_state(), CONFIG).step == 3
    assert not trace.exists()


def test_what_a_killed_save_left_is_removed_and_not_restored(tmp_path):
    directory = save(tmp_path, 3)
    unfinished = directory / "7.orbax-checkpoint-tmp"
    unfinished.mkdir()
    (unfinished / "part").write_bytes(b"part")
    assert restore(tmp_path, make_state(), CONFIG).step == 3
    assert names(save(tmp_path, 7)) == ["3", "7"]


def test_a_full_disk_is_one_line_and_leaves_the_last_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 2, 3)
    before = contents(tmp_path)

    def write(path, content):
        path.write_bytes(b"part")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_write_file", write)
    checkpoints = Checkpoints(tmp_path, CONFIG)
    checkpoints.save(7, make_state(7), {})
    message = f"cannot save a checkpoint in {tmp_path}/checkpoints: No space left on device"
    with pytest.raises(OSError) as caught:
        checkpoints.wait()
    assert str(caught.value) == message
    assert {path: data for path, data in contents(tmp_path).items() if path in before} == before


def test_the_metadata_can_be_read_by_a_person(tmp_path):
    text = (save(tmp_path, 3) / "3" / "state" / "metadata").read_text()
    metadata = json.loads(text.partition("\n")[2])
    assert metadata["config"] == CONFIG
    assert metadata["leaves"]["params"]["['kernel']"] == "float32[2, 3]"
