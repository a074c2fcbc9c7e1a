"""A config that trains in seconds, as a file for train.py and as a module for the tests."""

from configs import default


def get_config():
    config = default.get_config()
    config.data.name = "moons"
    config.flow.name = "vector_realnvp"
    config.flow.steps = 2
    config.flow.hidden = (8,)
    config.prior.means = "circle"
    config.prior.radius = 2.0
    config.prior.trainable = ("means",)
    config.loss.consistency_weight = 1.0
    config.optimizer.warmup_steps = 10
    config.train.steps = 1500
    config.train.batch_labeled = 4
    config.train.batch_unlabeled = 8
    config.train.steps_per_call = 5
    config.train.log_every = 100
    config.train.eval_every = 700
    config.train.checkpoint_every = 500
    return config
