"""FashionMNIST with 1,000 labels: FlowGMM-cons (not on the poster; its Figure 3 uses such a model).

    python train.py --config=fashion_mnist_1k --config.data.data_dir=DIR

A network for a CPU. `--config=fashion_mnist_1k:published` has the authors' network and setting for
MNIST. `fashion_mnist_1k_fast` is for two CPU cores, and has the rows of Table 1.
"""

from ml_collections import ConfigDict

VARIANTS = ("published",)


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.data = dict(name="fashion_mnist", num_labels=1000)
    if variant == "published":
        config.flow = dict(name="image_realnvp", alpha=0.05, widths=(64, 128), blocks=8)
        config.prior = dict(means="random", radius=1.0)
        config.loss = dict(
            labeled="cross_entropy",
            labeled_weight=3.0,
            marginal_weight=1.0,
            consistency="class_conditional",
            consistency_weight=1.0,
            ramp_steps=1000 * 32,
        )
        config.augment = dict(crop=4)
        config.optimizer = dict(
            learning_rate=1e-5, schedule="constant", warmup_steps=0, clip_norm=100.0
        )
        config.train = dict(
            steps=30_001 * 32, batch_labeled=32, batch_unlabeled=32, eval_every=10_000
        )
        return config
    config.flow = dict(name="glow", pixels="logit", alpha=0.05, stages=((2, 8),), width=96)
    config.prior = dict(means="random", radius=0.12)
    config.loss = dict(
        labeled="cross_entropy",
        labeled_weight=1.0,
        marginal_weight=0.0005,
        consistency="cross_entropy",
        consistency_weight=3.0,
        confidence=0.95,
    )
    config.augment = dict(crop=2, flip=True, affine=(10.0, 0.1, 0.1))
    config.optimizer = dict(learning_rate=2e-3, schedule="cosine", warmup_steps=200)
    config.train = dict(
        steps=6000,
        batch_labeled=32,
        batch_unlabeled=96,
        steps_per_call=5,
        eval_every=500,
        checkpoint_every=500,
    )
    return config
