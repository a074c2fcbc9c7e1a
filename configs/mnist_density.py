"""MNIST without labels: the density only, for bits/dim.

    python train.py --config=mnist_density --config.data.data_dir=DIR

The flow of flowgmm_jax/flows/pixel_groups.py without classes. The training images come in as
labelled ones, but their labels weigh nothing and the prior is a single Gaussian, all of its means
at zero; the accuracy that is reported means nothing. Not measured yet with this flow
(results/mnist_density_cpu.md is of the one before).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.data = dict(name="mnist", num_labels=-1)
    config.flow = dict(name="pixel_groups", squeezes=2, class_code=False, width=64)
    config.prior = dict(means="random", radius=0.0)
    config.loss = dict(
        labeled="cross_entropy",
        labeled_weight=0.0,
        marginal_weight=0.002,
        consistency_weight=0.0,
    )
    config.optimizer = dict(
        name="muon", learning_rate=4e-3, schedule="cosine", warmup_steps=200, ema_decay=0.998
    )
    config.train = dict(
        steps=6000,
        batch_labeled=32,
        batch_unlabeled=0,
        steps_per_call=5,
        eval_every=1000,
        checkpoint_every=500,
    )
    return config
