"""Variational inference: a flow is the posterior q, trained by the evidence lower bound.

    python examples/variational_inference.py

    log p(data) >= E_q [log p(data, theta) - log q(theta)],    theta = f^-1(z),  z ~ N(0, I)

(Rezende & Mohamed 2015, https://arxiv.org/abs/1505.05770). The posterior is a curved ridge; the
exact evidence comes from a grid. ``actnorm`` by itself is a Gaussian without correlations.
"""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax.scipy.stats import norm

from flowgmm_jax import flows


def log_joint(theta):
    """theta ~ N(0, I) and one measurement 1.0 of theta_1 + theta_2^2, with an error of 0.2."""
    measured = norm.logpdf(1.0, theta[:, 0] + theta[:, 1] ** 2, 0.2)
    return norm.logpdf(theta).sum(-1) + measured


def elbo(flow, params, key, n):
    z = jax.random.normal(key, (n, 2))
    theta, log_det = flow.inverse(params, z)  # log q(theta) = log N(z) - log |d theta/dz|
    return (log_joint(theta) - norm.logpdf(z).sum(-1) + log_det).mean()


def train(flow, steps):
    params = flow.init(jax.random.key(0), jax.random.normal(jax.random.key(1), (256, 2)))
    tx = optax.adam(optax.cosine_decay_schedule(5e-3, steps))

    def step(carry, key):
        params, opt_state = carry
        grads = jax.grad(lambda params: -elbo(flow, params, key, 256))(params)
        updates, opt_state = tx.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state), None

    keys = jax.random.split(jax.random.key(2), steps)
    (params, _), _ = jax.jit(partial(jax.lax.scan, step))((params, tx.init(params)), keys)
    return params


def main(steps=2000):
    axis = jnp.linspace(-6, 6, 1201)
    grid = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    evidence = jax.nn.logsumexp(log_joint(grid)) + 2 * jnp.log(axis[1] - axis[0])
    print(f"log p(data) {evidence:.3f} nats")
    bounds = {}
    for name, flow in {
        "Gaussian": flows.actnorm(),
        "affine couplings": flows.vector_realnvp(steps=6, hidden=(32,)),
        "spline couplings": flows.vector_spline(steps=3, hidden=(32,)),
    }.items():
        params = train(flow, steps)
        bounds[name] = jax.jit(partial(elbo, flow, n=20_000))(params, jax.random.key(3))
        print(f"{name}: bound {bounds[name]:.3f} nats")
    return evidence, bounds


if __name__ == "__main__":
    main()
