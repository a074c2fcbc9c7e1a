"""The authors' image settings, from their released code; not an experiment itself."""

import math

from ml_collections import ConfigDict


def published(config: ConfigDict, passes: int, ramp_passes: int, labels: int) -> ConfigDict:
    """Sets what the authors' image experiments share.

    Args:
      config: the defaults.
      passes: of training, over the labelled set.
      ramp_passes: over which the consistency term rises.
      labels: in the labelled set.
    """
    config.flow.name = "image_realnvp"
    config.flow.widths = (64, 128)
    config.flow.blocks = 8
    config.flow.alpha = 0.05  # contraction of the logit
    config.prior.means = "random"
    config.prior.radius = 1.0
    config.loss.labeled = "cross_entropy"
    config.loss.labeled_weight = 3.0
    config.loss.marginal_weight = 1.0
    config.loss.consistency = "likelihood"
    config.loss.consistency_weight = 1.0
    config.augment.crop = 4
    config.train.batch_labeled = 32
    config.train.batch_unlabeled = 32
    batches = math.ceil(labels / config.train.batch_labeled)
    config.train.steps = passes * batches
    config.loss.ramp_steps = ramp_passes * batches
    config.optimizer.learning_rate = 1e-4
    config.optimizer.schedule = "constant"
    config.optimizer.warmup_steps = 0
    config.optimizer.clip_norm = 100.0
    config.train.eval_every = 10_000
    return config
