"""The loop over steps: progress, rows of metrics, evaluations, checkpoints, signals."""

import math
import sys
from collections.abc import Callable
from typing import Any

import orbax.checkpoint as ocp
from ml_collections import ConfigDict
from tqdm import tqdm

from flowgmm_jax.training import checkpoint, devices
from flowgmm_jax.training.metrics import MetricsWriter
from flowgmm_jax.training.signals import Stopped, StopSignals
from flowgmm_jax.training.step import TrainState


def run_loop(
    train: ConfigDict,
    state: TrainState,
    sums: dict[str, float],
    advance: Callable[[TrainState, int], tuple[TrainState, dict[str, Any]]],
    evaluate: Callable[[Any], dict[str, float]],
    writer: MetricsWriter,
    manager: ocp.CheckpointManager | None,
) -> TrainState:
    """Takes the steps that are left.

    Args:
      train: ``config.train``.
      state: before the next step, without the device axis.
      sums: of the metrics since the last row, from the checkpoint.
      advance: ``(replicated state, count) -> (replicated state, sums of metrics)``.
      evaluate: ``(params) -> metrics``, every ``eval_every`` steps.
      writer: of metrics.jsonl; also the clock.
      manager: of checkpoints, in process 0.

    Returns:
      The last state, without the device axis; it is saved.

    Raises:
      FloatingPointError: when no step between two rows of metrics was finite.
      Stopped: after SIGTERM or SIGINT, once the state is saved.
    """
    step = int(state.step)
    state = devices.replicate(state)
    intervals = [n for n in (train.log_every, train.eval_every, train.checkpoint_every) if n]

    def is_due(every: int) -> bool:
        return step == train.steps or bool(every and step % every == 0)

    with StopSignals() as signals, _progress(step, train.steps) as bar:
        while step < train.steps:
            ends = [every * (step // every + 1) for every in intervals]
            count = min(*ends, train.steps, step + train.steps_per_call) - step
            # The metrics come to the host at once, which bounds the calls in flight.
            state, metrics = advance(state, count)
            metrics["steps"] = count
            sums = {name: sums.get(name, 0.0) + float(value) for name, value in metrics.items()}
            step += count
            bar.set_description("training", refresh=False)
            bar.set_postfix_str(_summary(_row(sums)), refresh=False)
            bar.update(count)

            if is_due(train.log_every):
                row, sums = _row(sums), {}
                writer.write(step, row)
                if row["skipped"] == 1:
                    raise FloatingPointError(
                        f"stopped at step {step}: the loss or its gradient was not finite in all "
                        f"of the last {train.log_every} steps"
                    )
            if train.eval_every and is_due(train.eval_every):
                metrics = evaluate(devices.unreplicate(state.ema_params))
                writer.write(step, metrics)
                if devices.is_primary():
                    bar.write(f"step {step:>7}  {writer.seconds():6.0f} s  {_summary(metrics)}")
            received = devices.share_signal(signals.received, step)
            if is_due(train.checkpoint_every) or received:
                with devices.together():
                    checkpoint.save(manager, devices.unreplicate(state), sums)
            if received:
                with devices.together():
                    checkpoint.wait(manager)
                raise Stopped(received, step)
    with devices.together():
        checkpoint.wait(manager)
    return devices.unreplicate(state)


def _progress(step: int, steps: int) -> tqdm:
    return tqdm(
        total=steps,
        initial=step,
        desc="compiling" if step < steps else "trained",
        unit="step",
        dynamic_ncols=True,
        disable=not devices.is_primary(),
        mininterval=0.5 if sys.stderr.isatty() else 15.0,
    )


def _summary(metrics: dict[str, float]) -> str:
    names = ("loss", "accuracy", "nll", "bits_per_dim")
    return "  ".join(f"{k} {v:.4g}" for k, v in metrics.items() if k.endswith(names))


def _row(sums: dict[str, float]) -> dict[str, float]:
    """Means over the finite steps, and the share of the steps that were skipped."""
    sums = dict(sums)
    steps, finite = sums.pop("steps"), sums.pop("finite")
    row = {name: value / finite if finite else math.nan for name, value in sums.items()}
    return row | {"skipped": 1 - finite / steps}
