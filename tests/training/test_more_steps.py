"""A finished run that is given more steps, and runs of another precision."""

import json

import jax
import numpy as np
import pytest
import tiny

import flowgmm_jax as fg
from flowgmm_jax.training.trainer import _check_finite_parameters, _of_more_steps, load_state, train


def config(steps, schedule="constant"):
    result = tiny.complete_config()
    result.optimizer.update(schedule=schedule, warmup_steps=2)
    result.train.update(steps=steps, log_every=5, eval_every=0, checkpoint_every=5)
    return result


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of ten steps."""
    workdir = tmp_path_factory.mktemp("whole")
    train(config(10), workdir)
    return workdir


def test_more_steps_of_a_constant_schedule_are_those_of_a_longer_run(whole, tmp_path, capsys):
    train(config(5), tmp_path)
    assert json.loads((tmp_path / "result.json").read_text())["step"] == 5
    assert train(config(10), tmp_path).step == 10
    assert "from 5 to 10 steps, as a run of 10 steps from its start" in capsys.readouterr().err
    ours, theirs = (load_state(workdir)[1] for workdir in (tmp_path, whole))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    assert json.loads((tmp_path / "config_of_5_steps.json").read_text())["train"]["steps"] == 5
    with pytest.raises(fg.InputError, match="config.train.steps = 10, not 5: choose another"):
        train(config(5), tmp_path)


def test_of_another_schedule_it_is_said_what_more_steps_mean():
    message = _of_more_steps(config(10, "cosine"), 5)
    assert "cosine schedule of the learning rate now ends at step 10" in message
    assert "not a run of 10 steps from its start" in message


def test_a_float32_run_is_loaded_with_x64(whole):
    model, params = fg.load(whole)
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    expected = np.asarray(model.log_density(params, x))
    with jax.enable_x64(True):
        model, params = fg.load(whole)
        assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
        np.testing.assert_allclose(model.log_density(params, x), expected, rtol=1e-5)
        np.testing.assert_allclose(model.log_density(params, x.astype(float)), expected, rtol=1e-5)
        z = model.encode(params, x)
        np.testing.assert_allclose(model.decode(params, z), x, atol=1e-5)


def test_a_float32_run_does_not_go_on_with_x64(whole):
    with jax.enable_x64(True), pytest.raises(fg.InputError) as caught:
        train(config(12), whole)
    message = str(caught.value)
    assert "expected JAX_ENABLE_X64 as the run began with it" in message and "\n" not in message
    assert "sound" not in message
    assert json.loads((whole / "config.json").read_text())["train"]["steps"] == 10


def test_a_last_update_that_is_not_finite_fails(whole):
    _, state = load_state(whole)
    _check_finite_parameters(state)
    broken = jax.tree.map(lambda leaf: leaf * np.nan, state.ema_params)
    with pytest.raises(FloatingPointError, match="not finite at step 10: expected a smaller conf"):
        _check_finite_parameters(state._replace(ema_params=broken))
