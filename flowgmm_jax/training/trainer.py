"""From a config and a directory to a trained model."""

import contextlib
import math
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from flowgmm_jax import devices
from flowgmm_jax.data.augment import make_views
from flowgmm_jax.data.batches import BatchSource, make_batches
from flowgmm_jax.data.describe import Description, lines
from flowgmm_jax.data.splits import held_out, initial_examples, make_pool
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation.statistics import make_evaluator
from flowgmm_jax.experiment import Experiment, make_experiment
from flowgmm_jax.files import read_json, to_json, write_json
from flowgmm_jax.models.base import Model
from flowgmm_jax.runs import checkpoint, processes
from flowgmm_jax.runs.log import MetricsWriter
from flowgmm_jax.runs.workdir import check_agrees, check_claim, claim, lock
from flowgmm_jax.trained import build_run, restore_newest
from flowgmm_jax.training.loop import most_skipped, run_loop
from flowgmm_jax.training.optimizer import make_optimizer, train_only
from flowgmm_jax.training.step import TrainState, init_state, make_train_steps, run_keys


class Result(NamedTuple):
    """The outcome of a run.

    Attributes:
      accuracy: on the test set, in percent, with the EMA parameters of the last step.
      bits_per_dim: on the test set, or None if the model has no density; an upper bound if the
        model's density is a lower one.
      step: steps taken.
      seconds: of training, over all starts, compilation and evaluations included.
    """

    accuracy: float
    bits_per_dim: float | None
    step: int
    seconds: float


def make_state(experiment: Experiment, tx: optax.GradientTransformation) -> Callable:
    """A function of no arguments that returns the ``TrainState`` before the first step."""
    config = experiment.config
    x, y = initial_examples(experiment.dataset, experiment.split, config)
    state = jax.jit(partial(init_state, experiment.model, tx))
    return partial(state, jax.random.key(config.seed), x, y)


def make_steps(
    experiment: Experiment, tx: optax.GradientTransformation, first_step: int
) -> tuple[Callable, BatchSource]:
    """The compiled training steps, ``(replicated state, data, seed, count)``, and their batches."""
    config = experiment.config
    pool = make_pool(experiment.dataset, experiment.split)
    key_data, _ = run_keys(config.seed)
    views = make_views(config, experiment.info)
    batches = make_batches(pool, config, views, key_data, first_step)
    train_steps = make_train_steps(
        experiment.model._replace(loss=train_only(config, experiment.model.loss)),
        tx,
        batches.draw,
        config.optimizer.ema_decay,
        most_skipped(config.train),
        config.train.microbatches,
    )
    return devices.map_train_steps(train_steps), batches


def train(config: ConfigDict, workdir: str | Path) -> Result:
    """Trains, or continues training, and evaluates the last step on the test set.

    A run that is finished goes on if ``config.train.steps`` is larger now; standard error says what
    that means for the schedule of the learning rate.

    Args:
      config: of ``load_config``.
      workdir: directory of the run: ``config.json``, ``data.json``, ``metrics.jsonl``,
        ``checkpoints/``, ``tensorboard/`` and, at the end, ``result.json``. Of several processes,
        only process 0 uses it.

    Returns:
      The Result that ``result.json`` holds.

    Raises:
      InputError: for a bad config or bad data, if the workdir holds a run of another config or
        another process trains there, and if none of its checkpoints is sound.
      FloatingPointError: after ``config.train.max_nonfinite_steps`` such steps in a row, and if the
        last parameters or the density of the test set are not finite.
      OSError: if the workdir cannot be written; what it holds stays sound.
      Stopped: after SIGTERM or SIGINT, once the state is saved.
    """
    started = time.monotonic()
    workdir = Path(workdir)
    with processes.together():
        experiment = make_experiment(config.copy_and_resolve_references())
        tx = make_optimizer(experiment.config)
        first_state = make_state(experiment, tx)
        like = _shapes(first_state, experiment)
    config, facts = experiment.config, experiment.facts()
    described = to_json(config), facts
    primary = processes.from_primary(described)
    with processes.together():
        check_agrees(*described, primary)

    with contextlib.ExitStack() as closing:
        state, sums, finished = None, {}, None
        with processes.together():
            if processes.is_primary():
                closing.enter_context(lock(workdir))
                before = check_claim(workdir, *described)
                state, sums, finished = _start(workdir, config, first_state, like)
                claim(workdir, *described)
                if before and before["train"]["steps"] != config.train.steps:
                    print(_of_more_steps(config, before["train"]["steps"]), file=sys.stderr)
        sums, finished = processes.from_primary((sums, finished))
        if finished:
            return Result(**finished)
        state = processes.broadcast(state, like)
        if processes.is_primary():
            print(*lines(Description(**facts["description"])), sep="\n", flush=True)

        train_steps, batches = make_steps(experiment, tx, int(state.step))
        evaluate = make_evaluator(experiment.model, experiment.info.levels)
        name, *held_out_examples = held_out(experiment.dataset, experiment.split)

        def advance(state, count):
            state, metrics = train_steps(state, batches.next_data(count), config.seed, count)
            return state, jax.device_get(devices.unreplicate(metrics))

        def evaluate_held_out(params):
            metrics = evaluate(params, *held_out_examples)
            return {f"{name}_{key}": value for key, value in metrics.items()}

        writer, checkpoints = None, None
        with processes.together():
            if processes.is_primary():
                checkpoints = checkpoint.Checkpoints(workdir, to_json(config))
                closing.callback(checkpoints.close)
                writer = MetricsWriter(workdir, int(state.step), started)
                closing.callback(writer.close)
        state = run_loop(config.train, state, sums, advance, evaluate_held_out, writer, checkpoints)
        _check_finite_parameters(state)
        seconds = round(writer.seconds() if writer else time.monotonic() - started, 1)
        with processes.together():
            dataset = experiment.dataset
            metrics = evaluate(state.ema_params, dataset.x_test, dataset.y_test)
            bits = metrics.get("bits_per_dim")
            if bits is not None and not math.isfinite(bits):
                raise FloatingPointError(
                    f"bits/dim of the test set is {bits} at step {int(state.step)}: the density of "
                    "some test examples is no number or 0; the parameters are saved"
                )
            result = Result(metrics["accuracy"], bits, int(state.step), seconds)
            if processes.is_primary():
                write_json(workdir / "result.json", result._asdict())
        return result


def _of_more_steps(config: ConfigDict, before: int) -> str:
    """What it means that a run which was to have ``before`` steps is given more."""
    steps = config.train.steps
    if config.optimizer.schedule == "constant":
        return f"going on from {before} to {steps} steps, as a run of {steps} steps from its start"
    return (
        f"going on from {before} to {steps} steps: the {config.optimizer.schedule} schedule of the "
        f"learning rate now ends at step {steps}, while the steps until now were taken with one "
        f"that ends at {before}, so that this is not a run of {steps} steps from its start"
    )


def _check_finite_parameters(state: TrainState) -> None:
    """Raises FloatingPointError if the last update of training was not finite."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(state.ema_params):
        if not np.isfinite(leaf).all():
            raise FloatingPointError(
                f"the parameters {jax.tree_util.keystr(path)} are not finite at step "
                f"{int(state.step)}: expected a smaller config.optimizer.learning_rate"
            )


def load_state(workdir: str | Path) -> tuple[Model, TrainState]:
    """The model of a run and everything that its newest sound checkpoint holds.

    Raises:
      InputError: if there is no run, or no checkpoint that is sound.
    """
    config, model, examples = build_run(Path(workdir))
    tx = make_optimizer(config)
    like = jax.eval_shape(lambda *a: init_state(model, tx, *a), jax.random.key(0), *examples)
    return model, TrainState(**restore_newest(Path(workdir), like._asdict(), config))


def _shapes(first_state: Callable, experiment: Experiment) -> TrainState:
    try:
        return jax.eval_shape(first_state)
    except ValueError as error:  # of a layer that the examples do not fit
        raise InputError(
            f"config.flow does not fit examples of shape {experiment.info.shape}: {error}"
        ) from error


def _start(
    workdir: Path, config: ConfigDict, first_state: Callable, like: TrainState
) -> tuple[TrainState, dict[str, float], dict | None]:
    """The state of the newest sound checkpoint or the first one, the sums of the metrics since the
    last row of metrics.jsonl, and the result of a run that is finished, as JSON."""
    restored = checkpoint.restore(workdir, like._asdict(), to_json(config))
    if restored is None:
        return first_state(), {}, None
    checkpoint.set_aside(workdir, restored.damaged)
    is_finished = restored.step == config.train.steps and (workdir / "result.json").exists()
    result = read_json(workdir / "result.json") if is_finished else None
    return TrainState(**restored.state), restored.sums, result
