"""What the four two-dimensional sets of Figure 2 share; not an experiment itself."""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    config = default.get_config()
    config.flow.name = "vector_realnvp"
    config.flow.steps = 16
    config.flow.hidden = (64, 64)
    config.prior.means = "circle"
    config.prior.radius = 3.5
    config.loss.labeled = "cross_entropy"
    config.loss.labeled_weight = 0.3
    config.loss.consistency = "cross_entropy"
    config.loss.consistency_weight = 0.3
    config.loss.confidence = 0.9
    config.augment.jitter = (0.0, 0.15)
    config.optimizer.learning_rate = 2e-3
    config.train.steps = 5000
    config.train.batch_labeled = 16
    config.train.batch_unlabeled = 128
    config.train.steps_per_call = 50
    config.train.eval_every = 1000
    return config


def get_blurred_config() -> ConfigDict:
    """For sets with wide modes: a smaller flow on slightly noisy points, which does not follow
    single points in the tails."""
    config = get_config()
    config.flow.steps = 8
    config.loss.labeled_weight = 1.0
    config.loss.consistency_weight = 1.0
    config.optimizer.learning_rate = 1e-3
    config.train.steps = 2500
    return config
