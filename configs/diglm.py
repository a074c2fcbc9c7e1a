"""DIGLM, a flow with a linear classifier on its latents (poster, Table 1: 97.79% on MNIST).

    python train.py --config=diglm
    python train.py --config=diglm:mnist --config.data.data_dir=DIR \
        --config.data.split_file=mnist_1000_0.npz

Nalisnick et al. 2019 (https://arxiv.org/abs/1902.02767), without random views. The first is for
scikit-learn's 8x8 digits with 100 labels, `:mnist` for MNIST with 1,000. `:sup` and `:mnist_sup`
have every label and no unlabelled images, as the poster's DIGLM Sup (99.33%).

No setting has been tuned, and `:mnist` has not been run.
"""

from ml_collections import ConfigDict

VARIANTS = ("sup", "mnist", "mnist_sup")


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.model = "diglm"
    config.data = dict(name="digits", num_labels=100)
    config.flow = dict(name="glow", pixels="logit", alpha=0.05, stages=((1, 6),), width=64)
    config.diglm = dict(density_weight=1.0)  # lambda, of log p(x) / D
    config.optimizer = dict(learning_rate=2e-3, schedule="cosine", warmup_steps=100)
    config.train = dict(steps=1500, batch_labeled=32, batch_unlabeled=96, eval_every=500)
    if variant.startswith("mnist"):
        config.data = dict(name="mnist", num_labels=1000)
        # As in mnist_1k_fast: a small alpha, since most pixels are 0 or 255.
        config.flow.update(alpha=0.001, stages=((2, 6),), pool=True)
        config.optimizer.warmup_steps = 200
        config.train.update(steps=6000, steps_per_call=5, checkpoint_every=500)
    if variant.endswith("sup"):
        config.data.num_labels = -1
        config.train.update(batch_labeled=128, batch_unlabeled=0)
    return config
