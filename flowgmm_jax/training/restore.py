"""A trained model from the directory of its run."""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from flowgmm_jax.data import datasets
from flowgmm_jax.data.splits import fingerprint, make_split
from flowgmm_jax.errors import InputError
from flowgmm_jax.experiment import Subject
from flowgmm_jax.files import read_json, to_json
from flowgmm_jax.models.base import Model
from flowgmm_jax.models.build import build
from flowgmm_jax.runs import checkpoint
from flowgmm_jax.training.optimizer import make_optimizer
from flowgmm_jax.training.step import TrainState, init_state


def load_config(workdir: str | Path) -> ConfigDict:
    """The config of the run in a directory.

    Raises:
      InputError: when there is no run.
    """
    config = ConfigDict(read_json(Path(workdir) / "config.json"))
    # Runs of earlier versions have this field; where it is empty it did nothing.
    if config.get("loss", {}).get("marginal_ramp") == []:
        del config.loss["marginal_ramp"]
    return config


def load_state(workdir: str | Path) -> tuple[Model, TrainState]:
    """The model of a run, and its newest sound checkpoint. Only reads; a newer damaged one is named
    on standard error.

    Raises:
      InputError: when there is no run, or no checkpoint that is sound.
    """
    workdir = Path(workdir)
    config = load_config(workdir)
    model, tx = build(config), make_optimizer(config)
    info = datasets.info(config.data)
    dtype = jnp.uint8 if info.levels else jnp.float32
    like = jax.eval_shape(
        lambda key, x, y: init_state(model, tx, key, x, y),
        jax.random.key(0),
        jax.ShapeDtypeStruct((2, *info.shape), dtype),
        jax.ShapeDtypeStruct((2,), jnp.int32),
    )
    restored = checkpoint.restore(workdir, like, to_json(config))
    if restored is None:
        raise InputError(f"{workdir / 'checkpoints'} holds no checkpoint")
    state = restored.content.state
    for path, reason in restored.damaged.items():
        print(f"{path} is damaged ({reason}): using that of step {state.step}", file=sys.stderr)
    return model, state


def load(workdir: str | Path) -> tuple[Model, Any]:
    """A trained model and its parameters (the moving average of the newest sound checkpoint).

    Args:
      workdir: directory that ``train.py`` wrote.

    Raises:
      InputError: when there is no run, or no checkpoint that is sound.
    """
    model, state = load_state(workdir)
    return model, state.ema_params


def load_subject(
    workdir: str | Path, data_dir: str | None = None, split_file: str | None = None
) -> tuple[Subject, int]:
    """A trained model with the data of its run, as evaluation takes them, and the step.

    Args:
      workdir: directory that ``train.py`` wrote.
      data_dir: where the data are now, if not where they were in training.
      split_file: likewise, of a run whose labelled split is a file.

    Raises:
      InputError: when there is no run, or no checkpoint that is sound, or the data are not those
        that the run was trained on.
      FileNotFoundError: when the data are not there.
    """
    workdir = Path(workdir)
    config = load_config(workdir)
    model, state = load_state(workdir)
    if data_dir is not None:
        config.data.data_dir = data_dir
    if split_file is not None and config.data.split_file:
        config.data.split_file = split_file
    dataset = datasets.load(config.data)
    split = make_split(dataset, config.data)
    if fingerprint(dataset, split) != config.data.fingerprint:
        raise InputError(
            f"{workdir} was trained on other data than those of {config.data.name} "
            f"{config.data.data_dir}: expected the same examples and labelled split, see "
            "--data_dir and --split_file"
        )
    name = workdir.resolve().name
    return Subject(name, model, state.ema_params, config, dataset, split), int(state.step)
