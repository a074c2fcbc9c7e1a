"""From a config and its data to what initialisation, the training step and evaluation take."""

import hashlib
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from flowgmm_jax.data import augment, datasets
from flowgmm_jax.data.blocks import blocks
from flowgmm_jax.data.sampling import Pool
from flowgmm_jax.data.splits import Split
from flowgmm_jax.errors import InputError

# Examples that parameters are initialised from: enough of both kinds for actnorm's means and
# deviations, and of the labelled ones for the means of classes, but few enough for a large network.
INIT_LABELED, INIT_UNLABELED = 1000, 256


def views(config: ConfigDict, info: datasets.Info) -> tuple[augment.View, augment.View]:
    """The views of the student and of the teacher, as ``config.augment`` says.

    Raises:
      InputError: for a transformation that the examples do not allow.
    """
    images = bool(config.augment.affine or config.augment.crop or config.augment.flip)
    if images and len(info.shape) != 3:
        raise InputError(
            f"config.augment.affine, crop and flip are for images, but examples have shape "
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
    if config.augment.affine:
        angle, scale, shear = config.augment.affine
        strong.append(partial(augment.random_affine, angle=angle, scale=scale, shear=shear))
    return augment.view(strong + weak, info.levels), augment.view(weak, info.levels)


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
    """The training set for the devices; labels that may not be used do not get there."""
    y = np.full_like(dataset.y_train, -1)
    y[split.labeled] = dataset.y_train[split.labeled]
    labeled, unlabeled = (a.astype(np.int32) for a in (split.labeled, split.unlabeled))
    return Pool(dataset.x_train, y, labeled, unlabeled)


def fingerprint(dataset: datasets.Dataset, split: Split) -> str:
    """Of everything that training sees of the data, so that a run goes on with no other."""
    digest = hashlib.blake2b(digest_size=16)
    for array in (*pool(dataset, split), split.validation):
        for block in blocks(array):
            digest.update(np.ascontiguousarray(block))
    return digest.hexdigest()
