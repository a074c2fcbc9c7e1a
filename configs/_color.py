"""CIFAR-10 and SVHN: the published settings; not an experiment itself."""

from ml_collections import ConfigDict

from configs import default
from configs._published import published


def get_config(name: str, num_labels: int) -> ConfigDict:
    """FlowGMM-cons on 32x32 colour images."""
    config = published(default.get_config(), passes=1501, ramp_passes=100, labels=num_labels)
    config.data.name = name
    config.data.num_labels = num_labels
    config.augment.flip = name == "cifar10"
    return config


def without_consistency(config: ConfigDict) -> ConfigDict:
    """FlowGMM: the likelihood alone explains the unlabelled images."""
    config.loss.consistency_weight = 0.0
    return config
