"""NUTS over the two moons, in data space and in latent space.

    pip install "flowgmm_jax[examples]" && python examples/numpyro_nuts.py

In data space the moons are two modes with nothing between them, so that a chain stays in one, and
no divergence says so. In latent space, x = f^-1(mu_y + sigma_y e) with a standard normal e and a
class y that Gibbs steps draw: both moons are one round mode of e.
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from flow_in_numpyro import FlowDistribution, batched
from numpyro.distributions import constraints
from numpyro.infer import MCMC, NUTS, DiscreteHMCGibbs
from sklearn.datasets import make_moons

import flowgmm_jax as fg
from flowgmm_jax import gmm


class ToData(dist.transforms.Transform):
    """Latents z (..., D) to data x."""

    domain = codomain = constraints.real_vector

    def __init__(self, model, params):
        self.model, self.params = model, params

    def __call__(self, z):
        return batched(self.model.decode, self.params, z)

    def _inverse(self, x):
        return batched(self.model.encode, self.params, x)

    def log_abs_det_jacobian(self, z, x, intermediates=None):
        log_p_z = batched(gmm.marginal, self.model.prior(self.params), z)
        return log_p_z - batched(self.model.log_density, self.params, x)

    def tree_flatten(self):
        return (self.params,), (("params",), {"model": self.model})


def main(steps=1500, draws=1000):
    points, labels = make_moons(1000, noise=0.1, random_state=0)
    labels[10:] = -1
    model, params = fg.fit(points, labels, steps=steps, progress=False)
    params = jax.tree.map(jnp.asarray, params)
    prior, to_data = model.prior(params), ToData(model, params)

    def data_space():
        numpyro.sample("x", FlowDistribution(model, params))

    def latent_space():
        y = numpyro.sample("y", dist.Categorical(logits=prior.log_weights))
        e = numpyro.sample("e", dist.Normal(jnp.zeros(2), 1.0).to_event(1))
        numpyro.deterministic("x", to_data(prior.means[y] + jnp.exp(prior.log_scale[y]) * e))

    x = model.sample_marginal(params, jax.random.key(1), 10_000)
    means = {"exact draws": x.mean(0)}
    for run, kernel in [
        (data_space, NUTS(data_space)),
        (latent_space, DiscreteHMCGibbs(NUTS(latent_space))),
    ]:
        mcmc = MCMC(kernel, num_warmup=draws // 2, num_samples=draws, progress_bar=False)
        mcmc.run(jax.random.key(0))
        means[run.__name__] = mcmc.get_samples()["x"].mean(0)
    for name, mean in means.items():
        print(f"mean of x, {name}: ({mean[0]:.2f}, {mean[1]:.2f})")
    return means


if __name__ == "__main__":
    main()
