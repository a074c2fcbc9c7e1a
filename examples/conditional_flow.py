"""A conditional flow p(x | c) as a model of its own: couplings whose networks also see c.

    python examples/conditional_flow.py

The event is the pair (c, x), of which ``flows.conditional`` maps x alone. Here x is a point of the
two moons, turned by the angle c.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.scipy.stats import norm
from sklearn.datasets import make_moons

from flowgmm_jax import flows


class ConditionalModel(NamedTuple):
    init: Callable  # (key, x, c) -> params
    log_density: Callable  # (params, x, c) -> log p(x | c), (B,)
    sample: Callable  # (params, key, c) -> x ~ p(x | c), (B, D)


def conditional_model(flow, dimension):
    def log_density(params, x, c):
        (_, z), log_det = flow.forward(params, (c, x))
        return norm.logpdf(z).sum(-1) + log_det

    def sample(params, key, c):
        z = jax.random.normal(key, (len(c), dimension))
        return flow.inverse(params, (c, z))[0][1]

    return ConditionalModel(lambda key, x, c: flow.init(key, (c, x)), log_density, sample)


def couplings(c):
    net = partial(flows.MLP, hidden=(64, 64))
    partition = flows.channel_with_context(c)

    def step(i):
        return flows.chain(flows.actnorm(), flows.affine_coupling(net, partition, i % 2))

    return flows.repeat(step, 8)


def turned(x, angle):
    a, b = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([a * x[:, 0] - b * x[:, 1], b * x[:, 0] + a * x[:, 1]], axis=-1)


def main(steps=2000):
    angle = jax.random.uniform(jax.random.key(0), (4000,), maxval=2 * jnp.pi)
    x = turned(make_moons(4000, noise=0.1, random_state=0)[0], angle)
    c = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    model = conditional_model(flows.conditional(1, lambda pair: pair[0], couplings), dimension=2)
    params, tx = model.init(jax.random.key(1), x[:256], c[:256]), optax.adam(1e-3)

    def step(carry, key):
        params, opt_state = carry
        i = jax.random.randint(key, (128,), 0, 3000)
        grads = jax.grad(lambda p: -model.log_density(p, x[i], c[i]).mean())(params)
        updates, opt_state = tx.update(grads, opt_state)
        return (optax.apply_updates(params, updates), opt_state), None

    keys = jax.random.split(jax.random.key(2), steps)
    (params, _), _ = jax.jit(partial(jax.lax.scan, step))((params, tx.init(params)), keys)
    right = model.log_density(params, x[3000:], c[3000:]).mean()
    wrong = model.log_density(params, x[3000:], -c[3000:]).mean()
    print(f"log p(x | c) of test points {right:.2f} nats, of another angle {wrong:.2f}")
    print("a draw at c = 0:", model.sample(params, jax.random.key(3), jnp.array([[1.0, 0.0]])))
    return right, wrong


if __name__ == "__main__":
    main()
