"""The optimiser of a config: AdamW or Muon on the network, Adam on what is trained of the prior.

Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) takes steps of a momentum whose
singular values are all made one, on every matrix of weights. The steps are scaled to the size of
Adam's (Liu et al. 2025, "Muon is scalable for LLM training", https://arxiv.org/abs/2502.16982,
eq. 4), which it leaves the other parameters to, so that one learning rate serves both.
"""

from collections.abc import Callable
from typing import Any

import jax
import optax
from ml_collections import ConfigDict
from optax.contrib import muon

from flowgmm_jax.training.packing import MATRIX, VECTOR, with_packed

ADAM_RMS = 0.2  # of the entries of a step of Adam with learning rate 1, about
# Jordan's quintic, five times. One set of coefficients for each iteration makes optax loop over
# them; with a single set it unrolls the loop, for every matrix, which takes XLA longer to compile.
NEWTON_SCHULZ = ((3.4445, -4.7750, 2.0315),) * 5


def learning_rate(config: ConfigDict, peak: float) -> optax.Schedule:
    """Linear warm-up over ``optimizer.warmup_steps``, then constant or a cosine to zero."""
    warmup, steps = config.optimizer.warmup_steps, config.train.steps
    after = {
        "constant": optax.constant_schedule(peak),
        "cosine": optax.cosine_decay_schedule(peak, max(steps - warmup, 1)),
    }[config.optimizer.schedule]
    return optax.join_schedules(
        [optax.linear_schedule(peak / max(warmup, 1), peak, warmup), after], [warmup]
    )


def _of_matrices(value: Any, other: Any) -> Callable[[dict], dict]:
    """A function of packed parameters: ``value`` for matrices and ``other`` for the vector."""
    return lambda packed: {name: other if name == VECTOR else value for name in packed}


def _network(config: ConfigDict) -> optax.GradientTransformation:
    """Of packed parameters; weight decay is of the matrices."""
    fields = config.optimizer
    rate = learning_rate(config, fields.learning_rate)
    decays = _of_matrices(True, False)
    if fields.name == "adamw":
        return optax.adamw(rate, weight_decay=fields.weight_decay, mask=decays)
    return muon(
        rate,
        NEWTON_SCHULZ,
        weight_decay=fields.weight_decay,
        weight_decay_mask=decays,
        consistent_rms=ADAM_RMS,
        muon_weight_dimension_numbers=_of_matrices(MATRIX, None),
    )


def _group(config: ConfigDict, path: tuple) -> str:
    """What trains a parameter, by its path: the entry "prior" of a model's parameters is trained
    as ``config.prior`` says, all else is the network."""
    if getattr(path[0], "key", None) != "prior":
        return "network"
    return "prior" if path[1].name in config.prior.trainable else "fixed"


def train_only(config: ConfigDict, loss: Callable) -> Callable:
    """``Model.loss`` with no gradient for parameters that stay as they are, so that neither the
    norm of the gradient nor its being finite depends on them."""

    def with_constants(params, *arguments):
        params = jax.tree_util.tree_map_with_path(
            lambda path, leaf: (
                jax.lax.stop_gradient(leaf) if _group(config, path) == "fixed" else leaf
            ),
            params,
        )
        return loss(params, *arguments)

    return with_constants


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """The transformation of gradients of a model's parameters."""
    clip = optax.clip_by_global_norm(config.optimizer.clip_norm)
    network = with_packed(optax.chain(clip, _network(config)))
    prior = optax.adam(learning_rate(config, config.prior.learning_rate))
    return optax.multi_transform(
        {"network": network, "prior": prior, "fixed": optax.set_to_zero()},
        lambda params: jax.tree_util.tree_map_with_path(
            lambda path, _: _group(config, path), params
        ),
    )
