"""From a config and a directory to a trained model: the loop that train.py runs."""

import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict
from tqdm import tqdm

from flowgmm_jax.data import augment, datasets
from flowgmm_jax.data.sampling import Pool, draw_batch
from flowgmm_jax.data.splits import Split, make_split
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation.classification import make_evaluator
from flowgmm_jax.models.build import build
from flowgmm_jax.training import checkpoint, devices
from flowgmm_jax.training import workdir as run_directory
from flowgmm_jax.training.optimizer import make_optimizer
from flowgmm_jax.training.signals import Stopped, StopSignals
from flowgmm_jax.training.step import init_state, make_train_steps

# Examples that parameters are initialised from: enough for actnorm's means and deviations, few
# enough for the largest network. Placements of means from labelled data use this many labels.
INIT_EXAMPLES = 256


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


def _check(config: ConfigDict) -> None:
    train = config.train
    at_least = dict.fromkeys(("steps", "batch_labeled", "log_every", "steps_per_call"), 1)
    at_least |= dict.fromkeys(("batch_unlabeled", "eval_every", "checkpoint_every"), 0)
    for name, least in at_least.items():
        if train[name] < least:
            raise InputError(f"config.train.{name} is {train[name]}, expected at least {least}")
    devices.check_divides("train.batch_labeled", train.batch_labeled)
    devices.check_divides("train.batch_unlabeled", train.batch_unlabeled)


def _views(config: ConfigDict, info: datasets.Info) -> tuple[augment.View, augment.View]:
    """The views of the student and of the teacher."""
    images = bool(config.augment.affine or config.augment.crop or config.augment.flip)
    if images and len(info.shape) != 3:
        raise InputError(
            f"config.augment.affine, crop and flip are for images, but examples have shape "
            f"{info.shape}: expected config.augment.jitter alone"
        )
    if config.augment.jitter and len(info.shape) != 1:
        raise InputError(
            f"config.augment.jitter is for vectors, but examples have shape {info.shape}"
        )
    if config.augment.jitter:
        # Only the teacher's: noise on what is trained on would blur the density.
        noisy = partial(augment.jitter, scale=config.augment.jitter)
        return augment.view([], info.levels), augment.view([noisy], info.levels)
    weak, strong = [], []
    if config.augment.crop:
        weak.append(partial(augment.random_crop, pad=config.augment.crop))
    if config.augment.flip:
        weak.append(augment.random_flip)
    if config.augment.affine:
        angle, scale, shear = config.augment.affine
        strong.append(partial(augment.random_affine, angle=angle, scale=scale, shear=shear))
    return augment.view(strong + weak, info.levels), augment.view(weak, info.levels)


def _initial_examples(
    dataset: datasets.Dataset, split: Split, seed: int
) -> tuple[jax.Array, jax.Array]:
    """A few labelled examples, and as many unlabelled ones with label -1, without augmentation."""
    rng = np.random.default_rng(seed)
    labeled, unlabeled = (
        rng.permutation(indices)[:INIT_EXAMPLES] for indices in (split.labeled, split.unlabeled)
    )
    y = np.concatenate([dataset.y_train[labeled], np.full(len(unlabeled), -1, np.int32)])
    x = dataset.x_train[np.concatenate([labeled, unlabeled])]
    keys = jax.random.split(jax.random.key(seed), len(x))
    return jax.vmap(augment.view([], dataset.info.levels))(keys, jnp.asarray(x)), jnp.asarray(y)


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
        ``tensorboard/`` and, at the end, ``result.json``.

    Returns:
      The Result that ``result.json`` holds.

    Raises:
      InputError: for a bad config or bad data, and when the workdir holds a run of another config.
      FloatingPointError: when no step between two rows of metrics was finite.
      Stopped: after SIGTERM or SIGINT, once the state is saved.
    """
    started = time.monotonic()
    workdir = Path(workdir)
    _check(config)
    config = resolve(config)
    model, tx = build(config), make_optimizer(config)
    dataset = datasets.load(config.data)
    split = make_split(dataset, config.data)
    if config.train.batch_unlabeled and not len(split.unlabeled):
        raise InputError("config.train.batch_unlabeled is not 0, but no example is unlabelled")
    student, teacher = _views(config, dataset.info)
    run_directory.claim(workdir, config)

    x, y = _initial_examples(dataset, split, config.seed)
    make_state = jax.jit(partial(init_state, model, tx))
    manager = checkpoint.open_manager(workdir)
    key = jax.random.key(config.seed)
    restored = checkpoint.restore(manager, jax.eval_shape(make_state, key, x, y))
    state, calls = restored or (make_state(key, x, y), [])

    if split.validation.size:
        held_out = (
            "validation",
            dataset.x_train[split.validation],
            dataset.y_train[split.validation],
        )
    else:
        held_out = "test", dataset.x_test, dataset.y_test
    evaluate = make_evaluator(model, dataset.info.levels)
    pool = Pool(
        jnp.asarray(dataset.x_train),
        jnp.asarray(dataset.y_train),
        jnp.asarray(split.labeled, jnp.int32),
        jnp.asarray(split.unlabeled, jnp.int32),
    )
    draw = partial(
        draw_batch,
        num_shards=jax.device_count(),
        batch_labeled=config.train.batch_labeled,
        batch_unlabeled=config.train.batch_unlabeled,
        student=student,
        teacher=teacher,
    )
    train_steps = make_train_steps(model, tx, draw, config.optimizer.ema_decay)
    state, seconds = _loop(
        config, workdir, started, train_steps, state, calls, pool, evaluate, held_out, manager
    )

    metrics = evaluate(state.ema_params, dataset.x_test, dataset.y_test)
    result = Result(
        metrics["accuracy"], metrics.get("bits_per_dim"), int(state.step), round(seconds, 1)
    )
    run_directory.write_json(workdir / "result.json", result._asdict())
    return result


def _loop(config, workdir, started, train_steps, state, calls, pool, evaluate, held_out, manager):
    """Takes the steps that are left; returns the last state and the seconds of all starts.

    ``calls`` are (steps, metrics) of the calls since the last row of metrics.
    """
    train = config.train
    step = int(state.step)
    writer = run_directory.MetricsWriter(workdir, step)
    started -= writer.seconds_before
    name, x, y = held_out
    train_steps = devices.map_train_steps(train_steps)
    state, pool = devices.replicate(state), devices.replicate(pool)

    def is_due(every):
        return step == train.steps or (every and step % every == 0)

    with StopSignals() as signals, _progress(step, train.steps) as bar:
        while step < train.steps:
            boundaries = [
                every * (step // every + 1)
                for every in (train.log_every, train.eval_every, train.checkpoint_every)
                if every
            ]
            count = min(*boundaries, train.steps, step + train.steps_per_call) - step
            state, metrics = train_steps(state, pool, config.seed, count)
            # Waiting for the metrics bounds the number of calls in flight.
            metrics = jax.device_get(devices.unreplicate(metrics))
            calls.append((count, {name: float(value) for name, value in metrics.items()}))
            step += count
            seconds = time.monotonic() - started
            bar.set_description("training", refresh=False)
            bar.set_postfix_str(_summary(calls[-1][1]), refresh=False)
            bar.update(count)

            if is_due(train.log_every):
                row = _mean(calls)
                calls = []
                writer.write(step, seconds, row)
                if row["skipped"] == 1:
                    raise FloatingPointError(
                        f"no step since the last row was finite (step {step}): {_summary(row)}"
                    )
            if train.eval_every and is_due(train.eval_every):
                metrics = evaluate(devices.unreplicate(state.ema_params), x, y)
                seconds = time.monotonic() - started
                writer.write(step, seconds, {f"{name}_{k}": v for k, v in metrics.items()})
                bar.write(f"step {step:>7}  {seconds:6.0f} s  {name} {_summary(metrics)}")
            if is_due(train.checkpoint_every) or signals.received:
                checkpoint.save(manager, devices.unreplicate(state), calls)
            if signals.received:
                manager.wait_until_finished()
                raise Stopped(signals.received, step)
    manager.wait_until_finished()
    writer.close()
    return devices.unreplicate(state), time.monotonic() - started


def _progress(step: int, steps: int) -> tqdm:
    return tqdm(
        total=steps,
        initial=step,
        desc="compiling" if step < steps else "trained",
        unit="step",
        dynamic_ncols=True,
        mininterval=0.5 if sys.stderr.isatty() else 15.0,
    )


def _summary(metrics: dict[str, Any]) -> str:
    return "  ".join(
        f"{name} {float(metrics[name]):.4g}"
        for name in ("loss", "accuracy", "nll", "bits_per_dim")
        if name in metrics
    )


def _mean(calls: checkpoint.Calls) -> dict[str, float]:
    """Means over the steps of several calls."""
    total = sum(count for count, _ in calls)
    return {
        name: sum(count * metrics[name] for count, metrics in calls) / total for name in calls[0][1]
    }
