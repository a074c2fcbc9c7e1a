"""The terms of the objective, over the table joint[b, k] = log p(x_b, y = k) (B, K), in nats.

``logits`` are that table up to an additive constant per example. Each term returns values per
example, (B,); weighting and averaging belong to the model.
"""

import jax
import jax.numpy as jnp
import optax


def class_conditional_nll(joint: jax.Array, y: jax.Array, log_weights: jax.Array) -> jax.Array:
    """-log p(x_b | y_b), the poster's term for labelled data; log_weights (K,) are normalised."""
    return -jnp.take_along_axis(joint - log_weights, y[:, None], axis=1)[:, 0]


def cross_entropy(logits: jax.Array, y: jax.Array) -> jax.Array:
    """-log p(y_b | x_b): the posterior is the softmax of the joint (poster, "Classification")."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, y)


def marginal_nll(joint: jax.Array) -> jax.Array:
    """-log p(x_b), the poster's term for unlabelled data."""
    return -jax.nn.logsumexp(joint, axis=-1)


def pseudo_labels(logits: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The predicted class y'' (B,) of the other view and its posterior probability (B,).

    No gradient flows through them (poster, "Consistency Loss Term").
    """
    posterior = jax.lax.stop_gradient(jax.nn.softmax(logits, axis=-1))
    return jnp.argmax(posterior, axis=-1), jnp.max(posterior, axis=-1)


def linear_ramp(step: jax.Array, length: int) -> jax.Array:
    """From 0 at step 0 to 1 at step ``length``, then 1."""
    return jnp.clip(step / length, 0.0, 1.0) if length else jnp.ones(())
