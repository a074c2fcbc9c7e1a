"""Our bijectors inside flowjax's distributions, trained by flowjax.

    pip install "flowgmm_jax[examples]" && python examples/flowjax_bijection.py

flowjax maps a base distribution to data, one event at a time; ``Bijector.forward`` maps a batch of
data to latents. So its ``transform`` is our ``inverse``.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from flowjax.bijections import AbstractBijection
from flowjax.distributions import StandardNormal, Transformed
from flowjax.train import fit_to_data
from sklearn.datasets import make_moons

from flowgmm_jax import flows


class Ours(AbstractBijection):
    """A flowgmm_jax ``Bijector`` of arrays, and its parameters."""

    params: object
    bijector: flows.Bijector = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = None

    def _of_one(self, direction, event):
        result, log_det = direction(self.params, event[None])
        return result[0], log_det[0]

    def transform_and_log_det(self, x, condition=None):
        return self._of_one(self.bijector.inverse, x)

    def inverse_and_log_det(self, y, condition=None):
        return self._of_one(self.bijector.forward, y)


def main(epochs=30):
    x = jnp.asarray(make_moons(1000, noise=0.1, random_state=0)[0], jnp.float32)
    flow = flows.vector_spline(steps=4, hidden=(32, 32))
    params = flow.init(jax.random.key(0), x)
    p_x = Transformed(StandardNormal((2,)), Ours(params, flow, (2,)))
    before = p_x.log_prob(x).mean()
    p_x, _ = fit_to_data(
        jax.random.key(1), p_x, x, learning_rate=2e-3, max_epochs=epochs, show_progress=False
    )
    after = p_x.log_prob(x).mean()
    print(f"log p(x) {before:.2f} nats, after {epochs} epochs {after:.2f}")
    print("draws", p_x.sample(jax.random.key(2), (3,)))
    return before, after


if __name__ == "__main__":
    main()
