"""An ensemble trained by one ``vmap``: the average of its posteriors is better calibrated.

    python examples/ensemble.py

Two moons that overlap, with 20 labels. Each member has its own parameters and batches, and its own
draw of the labelled points with replacement (Breiman 1996, "Bagging predictors").
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import make_moons

import flowgmm_jax as fg
from flowgmm_jax import flows
from flowgmm_jax.evaluation import calibration


def main(members=8, steps=1500):
    x, y = make_moons(3000, noise=0.3, random_state=0)
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y)
    x_labeled, y_labeled, unlabeled, x_test, y_test = x[:20], y[:20], x[20:1000], x[1000:], y[1000:]

    info = fg.Info(shape=(2,), num_classes=2)
    flow = flows.vector_realnvp(steps=6, hidden=(32,))
    loss = fg.Loss(labeled="cross_entropy", marginal_weight=0.3)
    model = fg.flowgmm(flow, info, fg.Prior("circle", radius=2.0), loss)
    tx = optax.adam(3e-3)
    train_step = fg.make_train_step(model, tx)

    def train(key):
        key_init, key_labels, key_steps = jax.random.split(key, 3)
        chosen = jax.random.choice(key_labels, 20, (20,))
        x_own, y_own = x_labeled[chosen], y_labeled[chosen]
        state = fg.init_state(model, tx, key_init, x_own, y_own)

        def step(state, key):
            some = jax.random.choice(key, unlabeled, (64,))
            batch = fg.Batch(x_own, y_own, some, some)
            return train_step(state, batch, key)[0], None

        return jax.lax.scan(step, state, jax.random.split(key_steps, steps))[0].ema_params

    params = jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), members))
    posteriors = jax.vmap(model.posterior, (0, None))(params, x_test)  # (members, B, K)

    def scores(posterior):
        logits = np.log(np.maximum(posterior, 1e-30), dtype=np.float64)
        return calibration.scores(logits, np.asarray(y_test))

    each = [scores(posterior) for posterior in posteriors]
    members_mean = {name: np.mean([row[name] for row in each]) for name in each[0]}
    ensemble = scores(posteriors.mean(0))
    for name in ensemble:
        print(f"{name}: mean of members {members_mean[name]:.4f}, ensemble {ensemble[name]:.4f}")
    return members_mean, ensemble


if __name__ == "__main__":
    main()
