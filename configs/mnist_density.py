"""MNIST without labels: the density alone, for bits/dim.

    JAX_NUM_CPU_DEVICES=2 python train.py --config=configs/mnist_density.py \
        --config.data.data_dir=DIR

The training images come in as labelled ones, but their labels weigh nothing and the prior is a
single Gaussian, all of its means at zero; the accuracy that is reported means nothing.
"""

from configs import _fast


def get_config():
    config = _fast.get_config(num_labels=-1)
    config.flow.stages = ((2, 12),)
    config.flow.alpha = 0.001
    config.flow.pixels = "gaussianize"
    config.flow.edges = (1,)  # the background by itself
    config.prior.radius = 0.0
    config.loss.labeled_weight = 0.0
    config.loss.consistency_weight = 0.0
    config.loss.marginal_weight = 0.002
    config.augment.crop = 0
    config.augment.affine = ()
    config.augment.bend = 0.0
    config.train.steps = 17_000
    config.train.batch_labeled = 64
    config.train.batch_unlabeled = 0
    config.train.eval_every = 1000
    return config
