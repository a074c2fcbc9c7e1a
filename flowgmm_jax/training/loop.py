"""The loop over steps: progress, rows of metrics, evaluations, checkpoints, signals."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from ml_collections import ConfigDict

from flowgmm_jax import devices
from flowgmm_jax.runs import processes
from flowgmm_jax.runs.checkpoint import Checkpoints
from flowgmm_jax.runs.log import MetricsWriter, Progress
from flowgmm_jax.runs.signals import Stopped, StopSignals
from flowgmm_jax.training.step import TrainState, describe


def run_loop(
    train: ConfigDict,
    state: TrainState,
    sums: dict[str, float],
    advance: Callable[[TrainState, int], tuple[TrainState, dict[str, Any]]],
    evaluate: Callable[[Any], dict[str, float]],
    writer: MetricsWriter | None,
    checkpoints: Checkpoints | None,
) -> TrainState:
    """Takes the steps that are left.

    Args:
      train: ``config.train``.
      state: before the next step, without the device axis.
      sums: of the metrics since the last row, from the checkpoint.
      advance: ``(replicated state, count) -> (replicated state, sums of metrics)``.
      evaluate: ``(params) -> metrics``, every ``eval_every`` steps.
      writer: of metrics.jsonl in process 0; None in the others.
      checkpoints: of process 0; None in the others.

    Returns:
      The last state, without the device axis; it is saved.

    Raises:
      FloatingPointError: after ``max_nonfinite_steps`` steps in a row that were not finite, once
        the state is saved. A state that such a run left raises it again, unless
        ``max_nonfinite_steps`` is larger now: then training goes on, from the parameters before the
        trouble.
      Stopped: after SIGTERM or SIGINT, once the state is saved.
      OSError: when something cannot be written.
    """
    step = int(state.step)
    state = devices.replicate(state)
    intervals = [n for n in (train.log_every, train.eval_every, train.checkpoint_every) if n]

    def is_due(every: int) -> bool:
        return step == train.steps or bool(every and step % every == 0)

    def is_stuck() -> bool:
        return int(devices.unreplicate(state.skipped)) >= most_skipped(train)

    def save():
        with processes.together():
            if checkpoints:
                checkpoints.save(step, devices.unreplicate(state)._asdict(), sums)

    bar = Progress(step, train.steps, disable=not processes.is_primary())
    with StopSignals() as signals, bar:
        while step < train.steps and not is_stuck():
            ends = [every * (step // every + 1) for every in intervals]
            count = min(*ends, train.steps, step + train.steps_per_call) - step
            # The metrics come to the host at once, which bounds the calls in flight.
            state, metrics = advance(state, count)
            sums = {name: sums.get(name, 0.0) + float(value) for name, value in metrics.items()}
            taken = round(float(metrics["steps"]))
            step += taken
            bar.advance(taken, _row(sums))

            if is_due(train.log_every):
                if writer:
                    writer.write(step, _row(sums))
                sums = dict.fromkeys(sums, 0.0)
            if train.eval_every and is_due(train.eval_every):
                metrics = evaluate(devices.unreplicate(state.ema_params))
                if writer:
                    writer.write(step, metrics)
                    bar.report(step, writer.seconds(), metrics)
            received = processes.share_signal(signals.received, step)
            if is_due(train.checkpoint_every) or received:
                save()
            if received:
                break
        if is_stuck():
            save()
        with processes.together():
            if checkpoints:
                checkpoints.wait()
        received = processes.share_signal(signals.received, step)
        if is_stuck():
            raise FloatingPointError(_trouble(devices.unreplicate(state), sums))
        if received:
            raise Stopped(received, step)
    return devices.unreplicate(state)


def most_skipped(train: ConfigDict) -> int:
    """Steps in a row that may be skipped; a run in which all of them were is no success."""
    return min(train.max_nonfinite_steps, train.steps)


def _trouble(state: TrainState, metrics: Iterable[str]) -> str:
    step, skipped = int(state.step), int(state.skipped)
    return (
        f"stopped at step {step}: the last {skipped} steps were not finite; in the first of them, "
        f"step {step - skipped + 1}, it was the {describe(int(state.cause), metrics)}. The "
        "parameters before it are saved"
    )


def _row(sums: dict[str, float]) -> dict[str, float]:
    """Means over the finite steps, and the share of the steps that were skipped."""
    sums = dict(sums)
    steps, finite = sums.pop("steps"), sums.pop("finite")
    row = {name: value / finite if finite else math.nan for name, value in sums.items()}
    return row | {"skipped": 1 - finite / steps}
