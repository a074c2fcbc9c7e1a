"""A layer of one's own in 20 lines, and a flow of it that a config names by its import path.

cd examples && python own_layer.py
cd examples && python ../train.py --config=moons --config.flow.name=own_layer:leaky_flow
"""

from functools import partial

import jax
import jax.numpy as jnp
from sklearn.datasets import make_moons

import flowgmm_jax as fg
from flowgmm_jax import flows


def leaky():
    """z = x where x > 0, e^s x elsewhere, with one learned s per dimension."""

    def init(key, x):
        return 0.1 * jax.random.normal(key, x.shape[-1:])

    def forward(s, x):
        log_slope = jnp.where(x > 0, 0.0, s)
        return x * jnp.exp(log_slope), log_slope.sum(-1)

    def inverse(s, z):
        log_slope = jnp.where(z > 0, 0.0, s)
        return z * jnp.exp(-log_slope), -log_slope.sum(-1)

    return flows.Bijector(init, forward, inverse, "leaky")


def leaky_flow(steps: int = 8, width: int = 32) -> flows.Bijector:
    """Its arguments are fields of ``config.flow``."""
    net = partial(flows.MLP, hidden=(width, width))

    def step(i):
        coupling = flows.affine_coupling(net, flows.half, i % 2)
        return flows.chain(flows.invertible_1x1(), leaky(), coupling)

    return flows.chain(flows.actnorm(), flows.repeat(step, steps))


def main(steps=1000):
    x, y = make_moons(1000, noise=0.1, random_state=0)
    labels = y.copy()
    labels[10:] = -1
    flow = {"flow.name": "own_layer:leaky_flow", "flow.width": 16}
    model, params = fg.fit(x, labels, steps=steps, progress=False, **flow)
    accuracy = 100 * (model.classify(params, x) == y).mean()
    print(model, f"{model.num_parameters} parameters, accuracy {accuracy:.1f}%", sep="\n")
    return model, accuracy


if __name__ == "__main__":
    main()
