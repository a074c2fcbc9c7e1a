"""BlackJAX's NUTS over a trained flow: log p(x) is a function of JAX, and draws start the chains.

    pip install "flowgmm_jax[examples]" && python examples/blackjax_nuts.py

Each chain begins at an exact draw of the model, so that both moons are visited; the sampler then
serves what has no exact draws: p(x) times a likelihood, of a height that was measured.
"""

import blackjax
import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from sklearn.datasets import make_moons

import flowgmm_jax as fg


def main(steps=1500, chains=100, draws=100):
    points, labels = make_moons(1000, noise=0.1, random_state=0)
    labels[10:] = -1
    model, params = fg.fit(points, labels, steps=steps, progress=False)

    def log_posterior(x):
        return model.log_density(params, x[None])[0] + norm.logpdf(0.4, x[1], 0.2)

    nuts = blackjax.nuts(log_posterior, step_size=0.1, inverse_mass_matrix=jnp.ones(2))

    @jax.jit
    @jax.vmap
    def run(key, x):
        def step(state, key):
            state, info = nuts.step(key, state)
            return state, (state.position, info.is_divergent)

        return jax.lax.scan(step, nuts.init(x), jax.random.split(key, draws))[1]

    key_start, key_weights, key_run = jax.random.split(jax.random.key(0), 3)
    candidates = jnp.asarray(model.sample_marginal(params, key_start, 10 * chains), jnp.float32)
    log_weights = norm.logpdf(0.4, candidates[:, 1], 0.2)
    chosen = jax.random.categorical(key_weights, log_weights, shape=(chains,))
    x, is_divergent = run(jax.random.split(key_run, chains), candidates[chosen])

    weights = jax.nn.softmax(log_weights)
    expected, mean = weights @ candidates, x.reshape(-1, 2).mean(0)
    print(
        f"mean of weighted draws ({expected[0]:.2f}, {expected[1]:.2f}), of NUTS "
        f"({mean[0]:.2f}, {mean[1]:.2f}), {int(is_divergent.sum())} divergences"
    )
    return expected, mean


if __name__ == "__main__":
    main()
