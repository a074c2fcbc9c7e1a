"""Active learning: ask for the label of a point that is uncertain and typical.

    python examples/active_learning.py

    score(x) = log H[p(y | x)] + log p(x),

entropy weighed by density (Settles & Craven 2008, https://aclanthology.org/D08-1112): without the
density, the points that are asked for are outliers, whose labels say nothing of the others. Nine
clusters in three classes, one point in five an outlier; the first labels are one of each class.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

import flowgmm_jax as fg
from flowgmm_jax import flows

SIZE = 900


def clusters(rng):
    which = np.arange(SIZE) % 9
    x = 3.0 * np.stack([which % 3, which // 3], axis=-1) - 3 + 0.3 * rng.normal(size=(SIZE, 2))
    y, is_outlier = (which + which // 3) % 3, rng.random(SIZE) < 0.2
    x = np.where(is_outlier[:, None], rng.uniform(-12, 12, (SIZE, 2)), x)
    y = np.where(is_outlier, rng.integers(3, size=SIZE), y)
    return jnp.asarray(x, jnp.float32), y, is_outlier


def make_trainer(x, steps):
    loss = fg.Loss(labeled="cross_entropy", marginal_weight=0.3)
    flow = flows.vector_realnvp(steps=8, hidden=(32, 32))
    model = fg.flowgmm(flow, fg.Info((2,), 3), fg.Prior("circle", radius=3.0), loss)
    tx = optax.adam(3e-3)
    train_step = fg.make_train_step(model, tx)

    @jax.jit
    def train(y, is_labeled):
        def step(state, key):
            key_labeled, key_all = jax.random.split(key)
            i = jax.random.choice(key_labeled, SIZE, (16,), p=is_labeled / is_labeled.sum())
            some = jax.random.choice(key_all, x, (64,))
            return train_step(state, fg.Batch(x[i], y[i], some, some), key)[0], None

        state = fg.init_state(model, tx, jax.random.key(0), x, y)
        params = jax.lax.scan(step, state, jax.random.split(jax.random.key(1), steps))[0].ema_params
        return model.class_log_density(params, x)

    return train


def main(rounds=9, steps=1000, seeds=3):
    found = {}
    for strategy in ("random", "entropy", "entropy and density"):
        accuracies = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            x, y, is_outlier = clusters(rng)
            train = make_trainer(x, steps)
            is_labeled = np.zeros(SIZE, bool)
            is_labeled[[np.flatnonzero(~is_outlier & (y == k))[0] for k in range(3)]] = True
            for _ in range(rounds):
                table = train(jnp.asarray(y), jnp.asarray(is_labeled))
                log_p = jax.nn.log_softmax(table)
                score = jnp.log(-(jnp.exp(log_p) * log_p).sum(-1) + 1e-6)
                score += jax.nn.logsumexp(table, -1) if "density" in strategy else 0.0
                score = rng.random(SIZE) if strategy == "random" else np.array(score)
                is_labeled[np.where(is_labeled, -np.inf, score).argmax()] = True
            right = np.asarray(train(jnp.asarray(y), jnp.asarray(is_labeled))).argmax(-1) == y
            accuracies.append(100 * right[~is_outlier].mean())
        found[strategy] = np.mean(accuracies)
        print(f"{strategy}: {found[strategy]:.1f} ± {np.std(accuracies):.1f}%, {rounds + 3} labels")
    return found


if __name__ == "__main__":
    main()
