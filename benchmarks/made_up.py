"""Training of a config on made-up examples: time and memory do not depend on them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from flowgmm_jax import devices
from flowgmm_jax.data import datasets
from flowgmm_jax.data.base import Dataset
from flowgmm_jax.data.splits import Split
from flowgmm_jax.experiment import with_data
from flowgmm_jax.training.optimizer import make_optimizer
from flowgmm_jax.training.trainer import make_state, make_steps

EXAMPLES, LABELED = 2000, 1000


class Training(NamedTuple):
    """What training compiles.

    Attributes:
      train_steps: ``(state, data, seed, count) -> (state, metrics)``, mapped over the devices.
      first_state: gives the state before the first step, on one device.
      data: the examples, on every device.
    """

    train_steps: Callable
    first_state: Callable[[], Any]
    data: Any


def training(config: ConfigDict) -> Training:
    """Of a config of images, with as many grey levels and classes as its data set has.

    Raises:
      InputError: for a config that cannot train on these devices.
    """
    info = datasets.info(config.data)
    rng = np.random.default_rng(0)
    x = rng.integers(0, info.levels, (EXAMPLES, *info.shape), np.uint8)
    y = np.arange(EXAMPLES, dtype=np.int32) % info.num_classes
    split = Split(np.arange(LABELED), np.arange(LABELED, EXAMPLES), np.arange(0))
    experiment = with_data(config, Dataset(x, y, x[:1], y[:1], info), split)
    tx = make_optimizer(config)
    train_steps, batches = make_steps(experiment, tx, 0)
    return Training(train_steps, make_state(experiment, tx), batches.next_data(1))


def shape_of_state(first_state: Callable[[], Any]) -> Any:
    """Shapes of the state on all local devices, without computing it."""
    count = jax.local_device_count()
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((count, *leaf.shape), leaf.dtype),
        jax.eval_shape(first_state),
    )


def on_devices(first_state: Callable[[], Any]) -> Any:
    """The state itself, on all local devices."""
    return devices.replicate(first_state())
