"""A semi-supervised experiment without its unlabelled data; not an experiment itself."""

from ml_collections import ConfigDict


def supervised(config: ConfigDict) -> ConfigDict:
    """FlowGMM Sup: as many steps on batches of the same size, all labelled.

    The authors' settings of these rows are not known to us.
    """
    config.train.batch_labeled += config.train.batch_unlabeled
    config.train.batch_unlabeled = 0
    config.loss.consistency_weight = 0.0
    return config
