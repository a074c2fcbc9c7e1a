"""The training step of one device, averaged over the axis "devices"."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from flowgmm_jax.data.sampling import Batch, Pool
from flowgmm_jax.models.base import Metrics, Model

AXIS = "devices"


class TrainState(NamedTuple):
    """Everything that a run needs to go on.

    Attributes:
      step: int32 scalar, steps taken.
      params: of the model.
      ema_params: their exponential moving average, which is what is evaluated.
      opt_state: of the optimiser.
    """

    step: jax.Array
    params: Any
    ema_params: Any
    opt_state: optax.OptState


def init_state(
    model: Model, tx: optax.GradientTransformation, key: jax.Array, x: jax.Array, y: jax.Array
) -> TrainState:
    """The state before the first step, initialised on examples x (B, ...) with labels y (B,)."""
    params = model.init(key, x, y)
    return TrainState(jnp.zeros((), jnp.int32), params, params, tx.init(params))


def run_keys(seed: jax.Array | int) -> tuple[jax.Array, jax.Array]:
    """The keys of a run, of its batches and of its model."""
    key_data, key_model = jax.random.split(jax.random.key(seed))
    return key_data, key_model


def _select(condition: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def make_train_steps(
    model: Model,
    tx: optax.GradientTransformation,
    draw: Callable[[Pool, jax.Array, jax.Array, jax.Array], Batch],
    ema_decay: float,
) -> Callable[[TrainState, Pool, jax.Array, jax.Array], tuple[TrainState, Metrics]]:
    """Several steps in one call, so that the cost of a call is shared between them.

    Args:
      model: what is trained.
      tx: the optimiser.
      draw: ``(pool, key, step, shard) -> Batch``, this device's share of a step's batch.
      ema_decay: decay of the moving average; less in the first steps, (1 + step) / (10 + step).

    Returns:
      ``train_steps(state, pool, seed, count)``, to be mapped over the axis ``AXIS``. ``count`` is
      traced: one program serves any number of steps. A step whose loss or gradient is not finite
      leaves everything but the step number as it was. Metrics are sums over the other steps;
      ``finite`` is their number.
    """

    def train_step(state: TrainState, pool: Pool, seed: jax.Array) -> tuple[TrainState, Metrics]:
        key_data, key_model = run_keys(seed)
        batch = draw(pool, key_data, state.step, jax.lax.axis_index(AXIS))
        key = jax.random.fold_in(key_model, state.step)
        (loss, metrics), grads = jax.value_and_grad(model.loss, has_aux=True)(
            state.params, batch, key, state.step
        )
        loss, metrics, grads = jax.lax.pmean((loss, metrics, grads), AXIS)
        grad_norm = optax.tree.norm(grads)
        finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)

        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.minimum(ema_decay, (1 + state.step) / (10 + state.step))
        ema_params = optax.incremental_update(params, state.ema_params, 1 - decay)
        params, ema_params, opt_state = _select(
            finite,
            (params, ema_params, opt_state),
            (state.params, state.ema_params, state.opt_state),
        )
        metrics = {"loss": loss, "grad_norm": grad_norm, **metrics}
        metrics = {name: jnp.where(finite, value, 0.0) for name, value in metrics.items()}
        metrics["finite"] = jnp.where(finite, 1.0, 0.0)
        return TrainState(state.step + 1, params, ema_params, opt_state), metrics

    def train_steps(state, pool, seed, count):
        _, shapes = jax.eval_shape(train_step, state, pool, seed)
        totals = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)

        def body(_, carry):
            state, totals = carry
            state, metrics = train_step(state, pool, seed)
            return state, jax.tree.map(jnp.add, totals, metrics)

        return jax.lax.fori_loop(0, count, body, (state, totals))

    return train_steps
