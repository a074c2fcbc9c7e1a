"""scikit-learn's 8x8 digits with 100 labels: the default, for a first look.

python train.py

Measured on 2 cores: 96.3 ± 1.4% over five labelled sets, 70 to 100 s (python benchmarks/digits.py).
"""

from configs import default


def get_config():
    config = default.get_config()
    config.data.name = "digits"
    config.data.num_labels = 100
    config.flow.name = "glow"
    config.flow.stages = ((1, 6),)
    config.flow.width = 64
    config.flow.alpha = 0.05
    config.prior.radius = 0.5
    config.loss.labeled = "cross_entropy"
    config.loss.marginal_weight = 0.003
    config.loss.consistency = "cross_entropy"
    config.loss.consistency_weight = 2.0
    config.loss.confidence = 0.95
    config.augment.crop = 1
    config.optimizer.learning_rate = 2e-3
    config.train.steps = 1500
    config.train.batch_unlabeled = 96
    config.train.microbatches = 8  # the same run on 1, 2, 4 and 8 devices: docs/clusters.md
    config.train.eval_every = 500
    return config
