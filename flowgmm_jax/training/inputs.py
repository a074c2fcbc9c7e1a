"""From a config and its data to what initialisation, the training step and evaluation take."""

import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flowgmm_jax import devices
from flowgmm_jax.data import augment, datasets, stream
from flowgmm_jax.data.base import blocks
from flowgmm_jax.data.batches import Batch, Pool, draw_batch
from flowgmm_jax.data.splits import Split
from flowgmm_jax.errors import InputError
from flowgmm_jax.training.step import run_keys

# Examples that parameters are initialised from: enough of both kinds for actnorm's means and
# deviations, and of the labelled ones for the means of classes, but few enough for a large network.
INIT_LABELED, INIT_UNLABELED = 1000, 256


def views(config: ConfigDict, info: datasets.Info) -> tuple[augment.View, augment.View]:
    """The views of the student and of the teacher, as ``config.augment`` says.

    Raises:
      InputError: for a transformation that the examples do not allow.
    """
    images = ("affine", "elastic", "cutout", "crop", "flip")
    if any(config.augment[name] for name in images) and len(info.shape) != 3:
        raise InputError(
            f"config.augment.{', '.join(images)} are for images, but examples have shape "
            f"{info.shape}: expected config.augment.jitter alone"
        )
    if any(config.augment.jitter) and len(info.shape) != 1:
        raise InputError(
            f"config.augment.jitter is for vectors, but examples have shape {info.shape}"
        )
    if any(config.augment.jitter):
        student, teacher = (partial(augment.jitter, scale=s) for s in config.augment.jitter)
        return augment.view([student], info.levels), augment.view([teacher], info.levels)
    weak, strong = [], []
    if config.augment.crop:
        weak.append(partial(augment.random_crop, pad=config.augment.crop))
    if config.augment.flip:
        weak.append(augment.random_flip)
    if config.augment.affine or config.augment.elastic:
        angle, scale, shear = config.augment.affine or (0.0, 0.0, 0.0)
        elastic = config.augment.elastic
        strong.append(
            partial(augment.random_warp, angle=angle, scale=scale, shear=shear, elastic=elastic)
        )
    strong += weak
    if config.augment.cutout:
        strong.append(partial(augment.cutout, side=config.augment.cutout))
    return augment.view(strong, info.levels), augment.view(weak, info.levels)


def initial_examples(
    dataset: datasets.Dataset, split: Split, config: ConfigDict
) -> tuple[jax.Array, jax.Array]:
    """Some labelled examples, and some unlabelled ones with label -1, without augmentation.

    Raises:
      InputError: when means are to be placed at classes and one has no label.
    """
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


def held_out(dataset: datasets.Dataset, split: Split) -> tuple[str, np.ndarray, np.ndarray]:
    """The examples that are looked at during training: held-out training data where there are any,
    otherwise the test set, of which nothing is chosen."""
    if split.validation.size:
        examples = dataset.x_train[split.validation], dataset.y_train[split.validation]
        return "validation", *examples
    return "test", dataset.x_test, dataset.y_test


def pool(dataset: datasets.Dataset, split: Split) -> Pool:
    """The training set; labels that may not be used are not in it."""
    y = np.full_like(dataset.y_train, -1)
    y[split.labeled] = dataset.y_train[split.labeled]
    labeled, unlabeled = (a.astype(np.int32) for a in (split.labeled, split.unlabeled))
    return Pool(dataset.x_train, y, labeled, unlabeled)


class Source(NamedTuple):
    """Where the steps have their batches from.

    Attributes:
      draw: ``(data, key, step, part) -> Batch``, inside the step.
      next_data: ``(count) -> data`` of the next ``count`` steps, with an axis of local devices.
    """

    draw: Callable[[Any, jax.Array, jax.Array, jax.Array], Batch]
    next_data: Callable[[int], Any]


def source(
    dataset: datasets.Dataset,
    split: Split,
    config: ConfigDict,
    first_step: int,
    student: augment.View,
    teacher: augment.View,
) -> Source:
    """Batches from the devices' memory if the examples take at most ``config.data.device_bytes``,
    otherwise from the host's; they are the same.

    Args:
      dataset: the data set.
      split: its labelled and unlabelled examples.
      config: of the run.
      first_step: the next one.
      student: the view that is trained on.
      teacher: the view that gives pseudo-labels.
    """
    training_set, num_shards = pool(dataset, split), config.train.microbatches or jax.device_count()
    batch = {name: config.train[name] for name in ("batch_labeled", "batch_unlabeled")}
    both = {"num_shards": num_shards, "student": student, "teacher": teacher}
    if dataset.x_train.nbytes <= config.data.device_bytes:
        on_devices = devices.replicate(training_set)
        return Source(partial(draw_batch, **batch, **both), lambda count: on_devices)

    capacity = config.train.steps_per_call
    batches = stream.stream(
        training_set,
        run_keys(config.seed)[0],
        range(first_step, config.train.steps),
        devices.local_shards(num_shards),
        num_shards,
        **batch,
        prefetch=2 * capacity,
    )
    return Source(
        partial(stream.views_of_window, **both),
        lambda count: stream.next_window(batches, count, capacity, jax.local_device_count()),
    )


def fingerprint(dataset: datasets.Dataset, split: Split) -> str:
    """Of everything that training sees of the data, so that a run goes on with no other."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (*pool(dataset, split), split.validation):
        for block in blocks(array):
            digest.update(np.ascontiguousarray(block))
    return digest.hexdigest()
