"""CIFAR-10 with all 50,000 labels: FlowGMM Sup (Table 1: 88.44%).

    python train.py --config=configs/cifar10_all.py --config.data.data_dir=DIR

The published network, for a GPU; batch and steps of this row are our choice.
"""

from configs import _color
from configs._supervised import supervised


def get_config():
    config = supervised(_color.get_config("cifar10", num_labels=4000))
    config.data.num_labels = -1
    config.poster.row = "FlowGMM Sup (all labels)"
    config.poster.accuracy = 88.44
    return config
