"""MNIST with 100 labels on two CPU cores (not on the poster).

    python train.py --config=mnist_100_fast \
        --config.data.data_dir=DIR --config.data.split_file=mnist_100_0.npz

One model that classifies, weighs and draws, as mnist_1k_fast. Ten images of a class are soon known
by heart: fewer images of a batch have labels than with 1,000, and squares are cut out of the
students' views. Not measured yet with this
flow (results/mnist_100_fast_cpu.md is of the flow before).
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.data = dict(name="mnist", num_labels=100)
    config.flow = dict(name="pixel_groups", squeezes=2, class_code=True, width=64)
    config.prior = dict(means="split", radius=12.0)
    config.loss = dict(
        labeled="cross_entropy",
        labeled_weight=1.0,
        marginal_weight=3e-4,
        consistency="cross_entropy",
        consistency_weight=3.0,
        confidence=0.95,
    )
    config.augment = dict(crop=2, affine=(20.0, 0.2, 0.2), elastic=0.7, cutout=8)
    config.optimizer = dict(
        name="muon", learning_rate=4e-3, schedule="cosine", warmup_steps=200, ema_decay=0.998
    )
    config.train = dict(
        steps=2000,
        batch_labeled=16,
        batch_unlabeled=96,
        batch_density=32,
        steps_per_call=5,
        eval_every=500,
        checkpoint_every=500,
    )
    return config
