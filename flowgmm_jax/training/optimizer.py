"""The optimiser of a config: AdamW on the flow, Adam on what is trained of the prior."""

from collections.abc import Callable

import jax
import optax
from ml_collections import ConfigDict

from flowgmm_jax.errors import InputError
from flowgmm_jax.gmm import GMM

SCHEDULES = ("constant", "cosine")


def learning_rate(config: ConfigDict, peak: float) -> optax.Schedule:
    """Linear warm-up over ``optimizer.warmup_steps``, then constant or a cosine to zero.

    Raises:
      InputError: for an unknown ``optimizer.schedule``.
    """
    warmup, steps = config.optimizer.warmup_steps, config.train.steps
    if config.optimizer.schedule == "cosine":
        after = optax.cosine_decay_schedule(peak, max(steps - warmup, 1))
    elif config.optimizer.schedule == "constant":
        after = optax.constant_schedule(peak)
    else:
        raise InputError(
            f"config.optimizer.schedule is {config.optimizer.schedule!r}, "
            f"expected one of {', '.join(SCHEDULES)}"
        )
    return optax.join_schedules(
        [optax.linear_schedule(peak / max(warmup, 1), peak, warmup), after], [warmup]
    )


def _decays(params) -> dict:
    """True for the leaves that weight decay applies to: kernels, by name, since the leaves of a
    ``repeat`` have one more axis and their rank tells nothing."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) == "kernel", params
    )


def _is_trained(config: ConfigDict, path: tuple) -> bool:
    """Whether a parameter, by its path in ``{"flow": ..., "prior": GMM}``, is trained."""
    return path[0].key == "flow" or path[1].name in config.prior.trainable


def train_only(config: ConfigDict, loss: Callable) -> Callable:
    """``Model.loss`` with no gradient for parameters that stay as they are, so that neither the
    norm of the gradient nor its being finite depends on them."""

    def with_constants(params, *arguments):
        params = jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaf if _is_trained(config, path) else jax.lax.stop_gradient(leaf),
            params,
        )
        return loss(params, *arguments)

    return with_constants


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """The transformation of gradients ``{"flow": ..., "prior": GMM}``.

    Raises:
      InputError: for an unknown schedule or an unknown name in ``prior.trainable``.
    """
    unknown = set(config.prior.trainable) - set(GMM._fields)
    if unknown:
        raise InputError(
            f"config.prior.trainable names {', '.join(sorted(unknown))}, "
            f"expected some of {', '.join(GMM._fields)}"
        )
    flow = optax.chain(
        optax.clip_by_global_norm(config.optimizer.clip_norm),
        optax.adamw(
            learning_rate(config, config.optimizer.learning_rate),
            weight_decay=config.optimizer.weight_decay,
            mask=_decays,
        ),
    )
    prior = optax.adam(learning_rate(config, config.prior.learning_rate))

    def label(path, _):
        return path[0].key if _is_trained(config, path) else "fixed"

    return optax.multi_transform(
        {"flow": flow, "prior": prior, "fixed": optax.set_to_zero()},
        lambda params: jax.tree_util.tree_map_with_path(label, params),
    )
