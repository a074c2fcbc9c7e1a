"""From a config and a directory to a trained model: what train.py runs."""

import contextlib
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import optax
from ml_collections import ConfigDict

from flowgmm_jax import devices
from flowgmm_jax.data import augment, batches, datasets, splits
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation.metrics import make_evaluator
from flowgmm_jax.files import read_json, to_json, write_json
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.build import build
from flowgmm_jax.runs import checkpoint, processes
from flowgmm_jax.runs.differences import check_agrees
from flowgmm_jax.runs.log import Clock, MetricsWriter
from flowgmm_jax.runs.workdir import claim, lock
from flowgmm_jax.training.check import check
from flowgmm_jax.training.loop import most_skipped, run_loop
from flowgmm_jax.training.optimizer import make_optimizer, train_only
from flowgmm_jax.training.step import TrainState, init_state, make_train_steps, run_keys


class Result(NamedTuple):
    """The outcome of a run.

    Attributes:
      accuracy: on the test set, in percent, with the EMA parameters of the last step.
      bits_per_dim: on the test set, or None where the model has no density.
      step: steps taken.
      seconds: of training, over all starts, compilation and evaluations included.
    """

    accuracy: float
    bits_per_dim: float | None
    step: int
    seconds: float


def resolve(config: ConfigDict) -> ConfigDict:
    """The config with what it says about its data filled in, so that it describes a model even
    where the data are not at hand."""
    info = datasets.info(config.data)
    config = config.copy_and_resolve_references()
    config.data.shape, config.data.num_classes, config.data.levels = info
    return config


class Prepared(NamedTuple):
    """What a config and its data come to, before anything is trained or written.

    Attributes:
      config: with everything filled in that the data say.
      model: its loss asks no gradient of what is not trained.
      tx: the optimiser.
      dataset: the data.
      split: their labelled, unlabelled and held-out examples.
      views: of one example.
      make_state: gives the state before the first step.
      like: its structure, shapes and dtypes.
    """

    config: ConfigDict
    model: Model
    tx: optax.GradientTransformation
    dataset: datasets.Dataset
    split: splits.Split
    views: augment.Views
    make_state: Callable[[], TrainState]
    like: TrainState


def prepare(config: ConfigDict) -> Prepared:
    """Checks a config and loads its data.

    Raises:
      InputError: for a bad config or bad data.
    """
    check(config)
    config = resolve(config)
    model, tx = build(config), make_optimizer(config)
    dataset = datasets.load(config.data)
    split = splits.make_split(dataset, config.data)
    if config.train.batch_unlabeled and not len(split.unlabeled):
        raise InputError("config.train.batch_unlabeled is not 0, but no example is unlabelled")
    views = augment.make_views(config, dataset.info)
    config.data.fingerprint = splits.fingerprint(dataset, split)
    x, y = splits.initial_examples(dataset, split, config)
    make_state = partial(jax.jit(partial(init_state, model, tx)), jax.random.key(config.seed), x, y)
    try:
        like = jax.eval_shape(make_state)
    except ValueError as error:  # of a layer that the examples do not fit
        raise InputError(
            f"config.flow does not fit examples of shape {dataset.info.shape}: {error}"
        ) from error
    model = model._replace(loss=train_only(config, model.loss))
    return Prepared(config, model, tx, dataset, split, views, make_state, like)


def make_batches(prepared: Prepared, first_step: int) -> batches.BatchSource:
    """The batches of a run, from its next step."""
    pool = splits.make_pool(prepared.dataset, prepared.split)
    key_data, _ = run_keys(prepared.config.seed)
    return batches.make_batches(pool, prepared.config, prepared.views, key_data, first_step)


def map_steps(prepared: Prepared, source: batches.BatchSource) -> Callable:
    """``make_train_steps`` of a run, with batches from a source, mapped over the devices."""
    config = prepared.config
    train_steps = make_train_steps(
        prepared.model,
        prepared.tx,
        source.draw,
        config.optimizer.ema_decay,
        most_skipped(config.train),
        config.train.microbatches,
    )
    return devices.map_train_steps(train_steps)


class Start(NamedTuple):
    """Where a run goes on.

    Attributes:
      state: before the next step.
      sums: of the metrics since the last row of metrics.jsonl.
      result: of a run that is finished, as JSON, or None.
    """

    state: TrainState
    sums: dict[str, float]
    result: dict | None


def _start(workdir: Path, prepared: Prepared) -> Start:
    """From the newest sound checkpoint, or from the beginning."""
    config = prepared.config
    restored = checkpoint.restore(workdir, prepared.like, to_json(config))
    if not restored:
        return Start(prepared.make_state(), {}, None)
    (state, sums, _), damaged = restored
    checkpoint.set_aside(workdir, damaged)
    is_finished = int(state.step) == config.train.steps and (workdir / "result.json").exists()
    return Start(state, sums, read_json(workdir / "result.json") if is_finished else None)


def train_and_evaluate(config: ConfigDict, workdir: str | Path) -> Result:
    """Trains, or goes on with training, and evaluates the last step on the test set.

    Args:
      config: a config as in ``configs/``.
      workdir: directory of the run: ``config.json``, ``metrics.jsonl``, ``checkpoints/``,
        ``tensorboard/`` and, at the end, ``result.json``. Of several processes, process 0 uses it.

    Returns:
      The Result that ``result.json`` holds.

    Raises:
      InputError: for a bad config or bad data, when the workdir holds a run of another config or
        another process trains there, and when none of its checkpoints is sound.
      FloatingPointError: after ``config.train.max_nonfinite_steps`` steps in a row that were not
        finite.
      OSError: when the workdir cannot be written; what it holds stays sound.
      Stopped: after SIGTERM or SIGINT, once the state is saved.
    """
    started = time.monotonic()
    workdir = Path(workdir)
    with processes.together():
        prepared = prepare(config)
    config, dataset = prepared.config, prepared.dataset
    primary_config = processes.from_primary(to_json(config))
    with processes.together():
        check_agrees(config, primary_config)
    with contextlib.ExitStack() as closing:
        start = Start(None, {}, None)
        with processes.together():
            if processes.is_primary():
                closing.enter_context(lock(workdir))
                claim(workdir, config)
                start = _start(workdir, prepared)
        sums, finished = processes.from_primary((start.sums, start.result))
        if finished:
            return Result(**finished)
        state = processes.broadcast(start.state, prepared.like)

        source = make_batches(prepared, int(state.step))
        train_steps = map_steps(prepared, source)
        evaluate = make_evaluator(prepared.model, dataset.info.levels)
        held_out = splits.held_out(dataset, prepared.split)

        def advance(state, count):
            state, metrics = train_steps(state, source.next_data(count), config.seed, count)
            return state, jax.device_get(devices.unreplicate(metrics))

        def evaluate_held_out(params):
            name, *examples = held_out
            return {f"{name}_{k}": value for k, value in evaluate(params, *examples).items()}

        writer, checkpoints = Clock(started), checkpoint.NoCheckpoints()
        with processes.together():
            if processes.is_primary():
                checkpoints = checkpoint.Checkpoints(workdir, to_json(config))
                closing.callback(checkpoints.close)
                writer = MetricsWriter(workdir, int(state.step), started)
                closing.callback(writer.close)
        state = run_loop(config.train, state, sums, advance, evaluate_held_out, writer, checkpoints)
        seconds = round(writer.seconds(), 1)
        with processes.together():
            metrics = evaluate(state.ema_params, dataset.x_test, dataset.y_test)
            bits = metrics.get("bits_per_dim")
            result = Result(metrics["accuracy"], bits, int(state.step), seconds)
            if processes.is_primary():
                write_json(workdir / "result.json", result._asdict())
        return result
