"""MNIST-sized images on two CPU cores in half an hour; not an experiment itself.

docs/experiments.md has the trials, on held-out training images, that these settings come from.
"""

from ml_collections import ConfigDict

from configs import default


def get_config(name: str, num_labels: int) -> ConfigDict:
    """FlowGMM-cons on a data set of 28x28 images."""
    config = default.get_config()
    config.data.name = name
    config.data.num_labels = num_labels
    config.flow.name = "glow"
    config.flow.stages = ((2, 6),)
    config.flow.width = 64
    config.flow.pool = True
    # Pixels are mostly 0 or 255. A wide logit spreads the noise within these two grey levels over
    # a unit of latent space from the start; with 0.05 the flow has to learn to.
    config.flow.alpha = 0.001
    # Means 7.9 standard deviations apart: where latents follow the mixture, it takes one of two
    # classes for the other once in 27,000.
    config.prior.radius = 0.2
    config.loss.labeled = "cross_entropy"
    config.loss.consistency = "cross_entropy"
    config.loss.consistency_weight = 3.0
    config.loss.confidence = 0.95
    config.loss.marginal_weight = 5e-5
    config.augment.crop = 2
    config.augment.affine = (20.0, 0.2, 0.2)
    config.augment.bend = 0.7
    config.optimizer.learning_rate = 2e-3
    config.optimizer.warmup_steps = 200
    config.train.steps = 6000
    config.train.batch_labeled = 32
    config.train.batch_unlabeled = 96
    config.train.steps_per_call = 5
    config.train.eval_every = 500
    config.train.checkpoint_every = 500
    return config
