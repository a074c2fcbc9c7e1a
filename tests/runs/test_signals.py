"""SIGTERM and SIGINT at any moment of a run: the state is saved, and the exit code says so."""

import os
import signal
from types import SimpleNamespace

import jax.numpy as jnp
import pytest
import tiny

from flowgmm_jax.runs.signals import Stopped, StopSignals
from flowgmm_jax.training import loop
from flowgmm_jax.training.loop import run_loop
from flowgmm_jax.training.step import TrainState

MOMENTS = ("advance", "evaluate", "write", "save", "wait")


def run(moment, *numbers):
    """A loop in which signals come at a moment; the steps that were saved and waited for."""
    train = tiny.complete_config().train
    train.update({"steps": 30, "log_every": 5, "eval_every": 10, "checkpoint_every": 10})
    saved = []
    pending = list(numbers)

    def reach(name, step):
        if name == moment and step >= 10:
            while pending:
                os.kill(os.getpid(), pending.pop(0))

    def advance(state, count):
        state = state._replace(step=state.step + count)
        reach("advance", int(state.step[0]))
        return state, {"loss": 1.0, "finite": float(count), "steps": float(count)}

    def evaluate(params):
        reach("evaluate", 10)
        return {"test_accuracy": 50.0}

    def save(step, state, sums):
        reach("save", step)
        saved.append(int(state["step"]))

    def wait():
        reach("wait", 10)
        saved.append("waited")

    zero = jnp.int32(0)
    state = TrainState(zero, {}, {}, (), zero, zero)
    writer = SimpleNamespace(write=lambda step, row: reach("write", step), seconds=lambda: 0.0)
    checkpoints = SimpleNamespace(save=save, wait=wait)
    try:
        run_loop(train, state, {}, advance, evaluate, writer, checkpoints)
    except Stopped as stopped:
        return saved, stopped
    return saved, None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_signal_saves_and_stops(moment, number):
    saved, stopped = run(moment, number)
    step = {"save": 15, "wait": 30}.get(moment, 10)  # one that comes in a save, at the next call
    assert saved[-2:] == [step, "waited"]
    assert stopped.exit_code == 128 + number
    assert str(stopped) == f"stopped by {number.name} at step {step}, state saved"


@pytest.mark.parametrize("moment", MOMENTS)
def test_further_signals_change_nothing(moment):
    saved, stopped = run(moment, signal.SIGTERM, signal.SIGINT, signal.SIGTERM)
    assert saved[-1] == "waited"
    assert stopped.exit_code == 143


def test_without_a_signal_the_loop_ends():
    saved, stopped = run("never")
    assert (saved, stopped) == ([10, 20, 30, "waited"], None)


def test_afterwards_signals_do_what_they_did():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_the_first_answer_is_at_once(capfd):
    with StopSignals():
        os.kill(os.getpid(), signal.SIGINT)
    assert capfd.readouterr().err == "\nSIGINT: stopping once saved\n"


def test_a_state_that_is_stuck_raises_again_and_a_larger_limit_goes_on():
    train = tiny.complete_config().train
    train.update({"steps": 30, "max_nonfinite_steps": 4})
    zero = jnp.int32(0)
    state = TrainState(jnp.int32(9), {}, {}, (), jnp.int32(4), zero)
    sums = {"loss_labeled": 0.0, "steps": 0.0, "finite": 0.0}
    saved = []
    checkpoints = SimpleNamespace(save=lambda step, state, sums: saved.append(int(state["step"])))
    checkpoints.wait = lambda: saved.append("waited")

    def advance(state, count):
        state = state._replace(step=state.step + count, skipped=state.skipped * 0)
        return state, {"loss_labeled": 1.0, "finite": float(count), "steps": float(count)}

    writer = SimpleNamespace(write=lambda step, row: None, seconds=lambda: 0.0)
    arguments = (state, sums, advance, lambda params: {}, writer, checkpoints)
    message = (
        "stopped at step 9: the last 4 steps were not finite; in the first of them, step 6, it "
    )
    with pytest.raises(FloatingPointError, match=message + "was the gradient"):
        run_loop(train, *arguments)
    assert saved == [9, "waited"]
    train.max_nonfinite_steps = 5
    assert int(run_loop(train, *arguments).step) == 30
    assert loop.most_skipped(train) == 5
