"""A semi-supervised experiment without its unlabelled data; not an experiment itself."""

from ml_collections import ConfigDict


def supervised(config: ConfigDict) -> ConfigDict:
    """FlowGMM Sup: every example of a batch is labelled; the batch keeps its size."""
    config.train.batch_labeled += config.train.batch_unlabeled
    config.train.batch_unlabeled = 0
    config.loss.consistency_weight = 0.0
    return config
