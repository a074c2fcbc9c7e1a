"""From arrays in memory to a trained model: no files, no directory of a run."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict
from numpy.typing import ArrayLike

from flowgmm_jax import devices
from flowgmm_jax.config import default_config, override
from flowgmm_jax.data import own
from flowgmm_jax.data.splits import Split, make_pool
from flowgmm_jax.errors import InputError
from flowgmm_jax.experiment import Experiment, with_data
from flowgmm_jax.fit_settings import settings_for
from flowgmm_jax.linear_mixture import linear_mixture, start_at
from flowgmm_jax.models.base import Model, Params
from flowgmm_jax.models.build import build
from flowgmm_jax.runs.log import Progress
from flowgmm_jax.trained import model_of
from flowgmm_jax.training.loop import most_skipped
from flowgmm_jax.training.optimizer import make_optimizer
from flowgmm_jax.training.step import TrainState
from flowgmm_jax.training.trainer import make_state, make_steps

# Fields of config.data that say something of arrays in memory.
DATA_FIELDS = {"split_seed", "validation", "device_bytes"}
PATIENCE = 4  # training ends after 1 / PATIENCE of its steps without a better held-out density


class Fitted(NamedTuple):
    """Everything that the model of a fit is built from.

    Attributes:
      config: complete.
      facts: of the data, ``Experiment.facts``.
      params: of the model.
      step: after which these parameters were found.
    """

    config: ConfigDict
    facts: dict[str, Any]
    params: Params
    step: int


def fit(
    x: ArrayLike,
    y: ArrayLike,
    *,
    minutes: float | None = None,
    progress: bool = True,
    **overrides: Any,
) -> tuple[Model, Params]:
    """Trains FlowGMM on arrays.

        model, params = fg.fit(x, y)
        model.classify(params, x_new), model.log_density(params, x_new)

    The settings are chosen by the shape of the data (``fit_settings.settings_for``); ``overrides``
    replaces any field of a config. Columns of a table are standardised by the training examples,
    and the model takes raw ones and gives their densities. Training starts at a linear classifier
    (``linear_mixture``). A fifth of a table, ``validation`` rows, unlabelled ones if these are the
    majority, is held out: the parameters with the best density there are returned, those of the
    start if none are better, and training ends early if it does not improve.

    Args:
      x: a table (N, D), or images (N, H, W) or (N, H, W, C) of grey levels 0 to 255 or values in
        [0, 1].
      y: (N,) labels: integers, -1 where there is none, or words, empty where there is none.
      minutes: of training instead of a number of steps, at a constant learning rate; compilation
        counts.
      progress: whether to show a bar on standard error.
      **overrides: fields of the config as for ``load_config``, such as ``steps=500``, ``seed=1``,
        ``validation=0``, ``**{"flow.steps": 8}``.

    Returns:
      What ``load`` returns: the model of raw examples, with ``model.classes``, and its parameters.

    Raises:
      InputError: for arrays or fields that cannot be taken, in one line.
      FloatingPointError: if losses or parameters are not finite.
    """
    fitted = fit_arrays(x, y, minutes=minutes, progress=progress, **overrides)
    return model_of(fitted.config, fitted.facts), fitted.params


def fit_arrays(
    x: ArrayLike,
    y: ArrayLike,
    *,
    minutes: float | None = None,
    progress: bool = True,
    **overrides: Any,
) -> Fitted:
    """``fit``, as data from which the model can be built again."""
    deadline = time.monotonic() + 60 * _minutes(minutes)
    experiment = _experiment(x, y, minutes, overrides)
    with Progress(0, experiment.config.train.steps, disable=not progress) as bar:
        params, step = _train(experiment, bar, deadline)
    return Fitted(experiment.config, experiment.facts(), params, step)


def _minutes(minutes: float | None) -> float:
    if minutes is None:
        return math.inf
    if not isinstance(minutes, int | float) or not minutes > 0:
        raise InputError(f"minutes is {minutes!r}, expected a number above 0")
    return minutes


def _experiment(
    x: ArrayLike, y: ArrayLike, minutes: float | None, overrides: dict[str, Any]
) -> Experiment:
    dataset = own.of_arrays(_array(x, "x"), _array(y, "y"), "fit")
    settings = settings_for(dataset.info, len(dataset.y_train))
    if minutes is not None:
        settings.optimizer.schedule = "constant"
        settings.train.steps = 2**31 - 1
    config = override(settings, overrides).config
    for name, default in default_config().data.items():
        if name not in DATA_FIELDS and config.data[name] != default:
            raise InputError(f"config.data.{name} is {config.data[name]!r}: fit takes arrays only")
    experiment = with_data(config, dataset, _split(dataset.y_train, config.data))
    # Training needs no densities in the units of the columns, and without their constants the
    # compiled programs of one table are those of every other of its shape.
    return experiment._replace(model=build(config, dataset.info))


def _array(values: ArrayLike, name: str) -> np.ndarray:
    try:
        return np.asarray(values)
    except ValueError:  # of lists of different lengths
        raise InputError(f"fit: {name} is no array: expected entries of one shape") from None


def _split(y: np.ndarray, data: ConfigDict) -> Split:
    """All labels are used, but for ``data.validation`` rows: unlabelled ones if they are the
    majority, otherwise any but one of every class."""
    everything, is_labeled = np.arange(len(y)), y >= 0
    if 2 * is_labeled.sum() < len(y):
        candidates = everything[~is_labeled]
    else:
        _, first = np.unique(y, return_index=True)
        candidates = np.setdiff1d(everything, first)
    rng = np.random.default_rng(data.split_seed)
    validation = np.sort(rng.permutation(candidates)[: data.validation])
    labeled = np.setdiff1d(everything[is_labeled], validation)
    return Split(labeled, np.setdiff1d(everything, validation), validation)


def _held_out_nll(experiment: Experiment) -> Callable[[Params], float] | None:
    """Mean of -log p(x) of the held-out rows, and of -log p(x, y) of those that have a label."""
    held_out = experiment.split.validation
    if not len(held_out):
        return None
    x, y = experiment.dataset.x_train[held_out], experiment.dataset.y_train[held_out]

    @jax.jit
    def nll(params, x, y):
        joint = experiment.model.class_log_density(params, x)
        of_label = jnp.take_along_axis(joint, jnp.maximum(y, 0)[:, None], axis=1)[:, 0]
        return -jnp.where(y < 0, jax.nn.logsumexp(joint, axis=-1), of_label).mean()

    return lambda params: float(nll(params, x, y))


def _first_state(experiment: Experiment, tx: optax.GradientTransformation) -> TrainState:
    """The state before the first step; of the flow of a table, at a linear mixture."""
    config, state = experiment.config, make_state(experiment, tx)()
    if (config.model, config.flow.name) != ("flowgmm", "table_realnvp"):
        return state
    if config.prior.means != "latents":  # the user has another start in mind
        return state
    pool = make_pool(experiment.dataset, experiment.split)
    rows = np.union1d(pool.labeled, pool.unlabeled)
    mixture = linear_mixture(pool.x[rows], pool.y[rows])
    start = jax.jit(partial(start_at, model=experiment.model))
    params = start(mixture, params=state.params)
    return state._replace(params=params, ema_params=params)


def _train(experiment: Experiment, bar: Progress, deadline: float) -> tuple[Params, int]:
    """The last parameters, or those of the best held-out density, which may be the first ones, and
    their step."""
    config = experiment.config
    train, tx = config.train, make_optimizer(config)
    state = _first_state(experiment, tx)
    held_out_nll = _held_out_nll(experiment)
    step, best, found = 0, math.inf, None
    # A start that is not finite is worse than anything, and no number is less than NaN.
    if held_out_nll and math.isfinite(nll := held_out_nll(state.params)):
        best, found = nll, (jax.device_get(state.params), 0)
    state = devices.replicate(state)
    train_steps, batches = make_steps(experiment, tx, 0)
    while step < train.steps and (not step or time.monotonic() < deadline):
        count = min(train.steps_per_call, train.steps - step)
        state, metrics = train_steps(state, batches.next_data(count), config.seed, count)
        metrics = jax.device_get(devices.unreplicate(metrics))
        step += count
        row = {"loss": float(metrics["loss"] / max(metrics["finite"], 1))}
        if int(devices.unreplicate(state.skipped)) >= most_skipped(train):
            raise FloatingPointError(f"the loss is not finite at step {step}")
        if held_out_nll or step == train.steps or time.monotonic() >= deadline:
            params = jax.device_get(devices.unreplicate(state.ema_params))
            row["held_out_nll"] = nll = held_out_nll(params) if held_out_nll else -math.inf
            if nll < best:
                best, found = nll, (params, step)
        bar.advance(count, row)
        if found and PATIENCE * (step - found[1]) > train.steps:
            break
    if found is None or not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found[0])):
        raise FloatingPointError(f"the parameters are not finite at step {step}")
    return found
