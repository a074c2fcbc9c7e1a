"""From a config and a directory to a trained model: what train.py runs."""

import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
from ml_collections import ConfigDict

from flowgmm_jax.data import datasets
from flowgmm_jax.data.sampling import draw_batch
from flowgmm_jax.data.splits import make_split
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation.classification import make_evaluator
from flowgmm_jax.json_files import to_json, write_json
from flowgmm_jax.models.build import build
from flowgmm_jax.training import checkpoint, devices, inputs
from flowgmm_jax.training.check import check
from flowgmm_jax.training.loop import run_loop
from flowgmm_jax.training.metrics import Clock, MetricsWriter
from flowgmm_jax.training.optimizer import make_optimizer
from flowgmm_jax.training.step import init_state, make_train_steps
from flowgmm_jax.training.workdir import check_agrees, claim


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


def train_and_evaluate(config: ConfigDict, workdir: str | Path) -> Result:
    """Trains, or goes on with training, and evaluates the last step on the test set.

    Args:
      config: a config as in ``configs/``.
      workdir: directory of the run: ``config.json``, ``metrics.jsonl``, ``checkpoints/``,
        ``tensorboard/`` and, at the end, ``result.json``. Of several processes, process 0 uses it.

    Returns:
      The Result that ``result.json`` holds.

    Raises:
      InputError: for a bad config or bad data, and when the workdir holds a run of another config.
      FloatingPointError: when no step between two rows of metrics was finite.
      Stopped: after SIGTERM or SIGINT, once the state is saved.
    """
    started = time.monotonic()
    workdir = Path(workdir)
    with devices.together():
        check(config)
        config = resolve(config)
        model, tx = build(config), make_optimizer(config)
        dataset = datasets.load(config.data)
        split = make_split(dataset, config.data)
        if config.train.batch_unlabeled and not len(split.unlabeled):
            raise InputError("config.train.batch_unlabeled is not 0, but no example is unlabelled")
        student, teacher = inputs.views(config, dataset.info)
        config.data.fingerprint = inputs.fingerprint(dataset, split)
        x, y = inputs.initial_examples(dataset, split, config)
        make_state = jax.jit(partial(init_state, model, tx))
        key = jax.random.key(config.seed)
        try:
            like = jax.eval_shape(make_state, key, x, y)
        except ValueError as error:  # of a layer that the examples do not fit
            raise InputError(
                f"config.flow does not fit examples of shape {dataset.info.shape}: {error}"
            ) from error

    primary_config = devices.from_primary(to_json(config))
    with devices.together():
        check_agrees(config, primary_config)
    manager, start = None, None
    with devices.together():
        if devices.is_primary():
            claim(workdir, config)
            manager = checkpoint.open_manager(workdir)
            start = checkpoint.restore(manager, like) or (make_state(key, x, y), {})
    state, sums = devices.from_primary(start)

    evaluate = make_evaluator(model, dataset.info.levels)
    held_out = inputs.held_out(dataset, split)
    draw = partial(
        draw_batch,
        num_shards=jax.device_count(),
        batch_labeled=config.train.batch_labeled,
        batch_unlabeled=config.train.batch_unlabeled,
        student=student,
        teacher=teacher,
    )
    train_steps = devices.map_train_steps(
        make_train_steps(model, tx, draw, config.optimizer.ema_decay)
    )
    pool = devices.replicate(inputs.pool(dataset, split))

    def advance(state, count):
        state, metrics = train_steps(state, pool, config.seed, count)
        return state, jax.device_get(devices.unreplicate(metrics))

    def evaluate_held_out(params):
        name, *examples = held_out
        return {f"{name}_{k}": value for k, value in evaluate(params, *examples).items()}

    primary = devices.is_primary()
    writer = MetricsWriter(workdir, int(state.step), started) if primary else Clock(started)
    state = run_loop(config.train, state, sums, advance, evaluate_held_out, writer, manager)
    seconds = round(writer.seconds(), 1)
    writer.close()
    if manager:
        manager.close()

    with devices.together():
        metrics = evaluate(state.ema_params, dataset.x_test, dataset.y_test)
        result = Result(metrics["accuracy"], metrics.get("bits_per_dim"), int(state.step), seconds)
        if primary:
            write_json(workdir / "result.json", result._asdict())
    return result
