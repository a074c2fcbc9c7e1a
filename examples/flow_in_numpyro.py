"""A trained flow in NumPyro: p(x) as a distribution, for a prior and for a likelihood.

pip install "flowgmm_jax[examples]" && python examples/flow_in_numpyro.py
"""

import math

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.infer import MCMC, NUTS
from sklearn.datasets import make_moons

import flowgmm_jax as fg


def batched(function, params, x):
    """``function(params, x)`` of x (..., D)."""
    values = function(params, x.reshape(-1, x.shape[-1]))
    return values.reshape(*x.shape[:-1], *values.shape[1:])


class FlowDistribution(dist.Distribution):
    support = constraints.real_vector
    pytree_data_fields, pytree_aux_fields = ("params",), ("model",)

    def __init__(self, model, params):
        self.model, self.params = model, params
        super().__init__(event_shape=model.shape)

    def sample(self, key, sample_shape=()):
        x = self.model.sample_marginal(self.params, key, math.prod(sample_shape))
        return x.reshape(*sample_shape, *self.event_shape)

    def log_prob(self, value):
        return batched(self.model.log_density, self.params, value)


def main(steps=1500, draws=300):
    points, labels = make_moons(1000, noise=0.1, random_state=0)
    labels[10:] = -1
    moons = FlowDistribution(*fg.fit(points, labels, steps=steps, progress=False))

    def measured(height):  # prior: a point of the moons, whose height was measured
        x = numpyro.sample("x", moons)
        numpyro.sample("height", dist.Normal(x[1], 0.1), obs=height)

    def moved(points):  # likelihood: points of the moons, all moved by one vector
        shift = numpyro.sample("shift", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
        numpyro.factor("log_likelihood", moons.log_prob(points - shift).sum())

    for model, data in [(measured, -0.4), (moved, points[:100] + jnp.array([0.5, -0.3]))]:
        mcmc = MCMC(NUTS(model), num_warmup=draws, num_samples=draws, progress_bar=False)
        mcmc.run(jax.random.key(0), data)
        ((name, values),) = mcmc.get_samples().items()
        print(f"{name} {values.mean(0).round(2)} ± {values.std(0).round(2)}")
    return moons


if __name__ == "__main__":
    main()
