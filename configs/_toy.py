"""What the four two-dimensional sets of Figure 2 share; not an experiment itself."""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    config = default.get_config()
    config.flow.name = "vector_realnvp"
    config.flow.steps = 6
    config.flow.hidden = (128, 128)
    config.prior.means = "circle"
    config.prior.radius = 3.5
    config.loss.labeled = "cross_entropy"
    config.loss.consistency = "cross_entropy"
    config.loss.consistency_weight = 1.0
    config.augment.jitter = 0.15
    config.train.steps = 3000
    config.train.batch_unlabeled = 128
    config.train.steps_per_call = 50
    config.train.eval_every = 1000
    return config
