"""From a config and a directory to a trained model: the loop that train.py runs."""

import hashlib
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flowgmm_jax.data import augment, datasets
from flowgmm_jax.data.sampling import Pool, draw_batch
from flowgmm_jax.data.splits import Split, make_split
from flowgmm_jax.errors import InputError
from flowgmm_jax.evaluation.classification import make_evaluator
from flowgmm_jax.json_files import write_json
from flowgmm_jax.models.build import build
from flowgmm_jax.training import checkpoint, devices
from flowgmm_jax.training.loop import run_loop
from flowgmm_jax.training.metrics import MetricsWriter
from flowgmm_jax.training.optimizer import make_optimizer
from flowgmm_jax.training.step import init_state, make_train_steps
from flowgmm_jax.training.workdir import claim

# Examples that parameters are initialised from: enough of both kinds for actnorm's means and
# deviations, and of the labelled ones for the means of classes, but few enough for a large network.
INIT_LABELED, INIT_UNLABELED = 1000, 256


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


# The least value of a field, and the largest where there is one.
RANGES = {
    "seed": (0, None),
    "data.validation": (0, None),
    "loss.ramp_steps": (0, None),
    "loss.confidence": (0.0, 1.0),
    "augment.crop": (0, None),
    "augment.jitter": (0.0, None),
    "optimizer.learning_rate": (0.0, None),
    "optimizer.warmup_steps": (0, None),
    "optimizer.weight_decay": (0.0, None),
    "optimizer.clip_norm": (1e-30, None),
    "optimizer.ema_decay": (0.0, 1.0),
    "train.steps": (1, None),
    "train.batch_labeled": (1, None),
    "train.batch_unlabeled": (0, None),
    "train.steps_per_call": (1, None),
    "train.log_every": (1, None),
    "train.eval_every": (0, None),
    "train.checkpoint_every": (0, None),
}


def _check(config: ConfigDict) -> None:
    for name, (least, most) in RANGES.items():
        value = config
        for field in name.split("."):
            value = value[field]
        if not value >= least or (most is not None and value > most):
            expected = f"at least {least}" if most is None else f"{least} to {most}"
            raise InputError(f"config.{name} is {value}, expected {expected}")
    if len(config.augment.affine) not in (0, 3):
        raise InputError(
            f"config.augment.affine is {tuple(config.augment.affine)}, expected () or three "
            "numbers: angle, zoom, shear"
        )
    devices.check_divides("train.batch_labeled", config.train.batch_labeled)
    devices.check_divides("train.batch_unlabeled", config.train.batch_unlabeled)


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
    dataset: datasets.Dataset, split: Split, config: ConfigDict
) -> tuple[jax.Array, jax.Array]:
    """Some labelled examples, and some unlabelled ones with label -1, without augmentation."""
    rng = np.random.default_rng(config.seed)
    labeled, unlabeled = (
        rng.permutation(indices)[:most]
        for indices, most in ((split.labeled, INIT_LABELED), (split.unlabeled, INIT_UNLABELED))
    )
    y = np.concatenate([dataset.y_train[labeled], np.full(len(unlabeled), -1, np.int32)])
    x = dataset.x_train[np.concatenate([labeled, unlabeled])]
    missing = np.setdiff1d(np.arange(dataset.info.num_classes), y)
    if config.prior.means in ("data", "latents") and missing.size:
        raise InputError(
            f"config.prior.means is {config.prior.means!r}, but class {missing[0]} has no labelled "
            "example to take a mean of"
        )
    keys = jax.random.split(jax.random.key(config.seed), len(x))
    return jax.vmap(augment.view([], dataset.info.levels))(keys, jnp.asarray(x)), jnp.asarray(y)


def _held_out(dataset: datasets.Dataset, split: Split) -> tuple[str, np.ndarray, np.ndarray]:
    """The examples that are looked at during training: held-out training data where there are any,
    otherwise the test set, of which nothing is chosen."""
    if split.validation.size:
        examples = dataset.x_train[split.validation], dataset.y_train[split.validation]
        return "validation", *examples
    return "test", dataset.x_test, dataset.y_test


def _pool(dataset: datasets.Dataset, split: Split) -> Pool:
    """The training set for the devices; labels that may not be used do not get there."""
    y = np.full_like(dataset.y_train, -1)
    y[split.labeled] = dataset.y_train[split.labeled]
    labeled, unlabeled = (a.astype(np.int32) for a in (split.labeled, split.unlabeled))
    return Pool(dataset.x_train, y, labeled, unlabeled)


def _fingerprint(dataset: datasets.Dataset, split: Split) -> str:
    """Of everything that training sees of the data, so that a run goes on with no other."""
    pool = _pool(dataset, split)
    digest = hashlib.blake2b(digest_size=16)
    for array in (*pool, split.validation):
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


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
    config.data.fingerprint = _fingerprint(dataset, split)
    x, y = _initial_examples(dataset, split, config)
    make_state = jax.jit(partial(init_state, model, tx))
    key = jax.random.key(config.seed)
    try:
        like = jax.eval_shape(make_state, key, x, y)
    except ValueError as error:  # of a layer that the examples do not fit
        raise InputError(
            f"config.flow does not fit examples of shape {dataset.info.shape}: {error}"
        ) from error

    claim(workdir, config)
    manager = checkpoint.open_manager(workdir)
    state, sums = checkpoint.restore(manager, like) or (make_state(key, x, y), {})

    evaluate = make_evaluator(model, dataset.info.levels)
    held_out = _held_out(dataset, split)
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
    pool = devices.replicate(_pool(dataset, split))

    def advance(state, count):
        state, metrics = train_steps(state, pool, config.seed, count)
        return state, jax.device_get(devices.unreplicate(metrics))

    def evaluate_held_out(params):
        name, *examples = held_out
        return {f"{name}_{k}": value for k, value in evaluate(params, *examples).items()}

    writer = MetricsWriter(workdir, int(state.step), started)
    state = run_loop(config.train, state, sums, advance, evaluate_held_out, writer, manager)
    seconds = round(writer.seconds(), 1)
    writer.close()
    manager.close()

    metrics = evaluate(state.ema_params, dataset.x_test, dataset.y_test)
    result = Result(metrics["accuracy"], metrics.get("bits_per_dim"), int(state.step), seconds)
    write_json(workdir / "result.json", result._asdict())
    return result
