"""MNIST without labels: the density only, for bits/dim.

    python train.py --config=mnist_density --config.data.data_dir=DIR

The training images come in as labelled ones, but their labels weigh nothing and the prior is a
single Gaussian, all of its means at zero; the accuracy that is reported means nothing. Measured
(results/mnist_density_cpu.md): 1.143 bits/dim after 37 minutes of two cores.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.data = dict(name="mnist", num_labels=-1)
    config.flow = dict(
        name="glow",
        pixels="gaussianize",
        alpha=0.001,
        edges=(1,),  # the background, grey level 0, is a piece of its own
        stages=((2, 12),),
        width=64,
        pool=True,
    )
    config.prior = dict(means="random", radius=0.0)
    config.loss = dict(
        labeled="cross_entropy",
        labeled_weight=0.0,
        marginal_weight=0.002,
        consistency_weight=0.0,
    )
    config.optimizer = dict(learning_rate=2e-3, schedule="cosine", warmup_steps=200)
    config.train = dict(
        steps=17_000,
        batch_labeled=64,
        batch_unlabeled=0,
        steps_per_call=5,
        eval_every=1000,
        checkpoint_every=500,
    )
    return config
