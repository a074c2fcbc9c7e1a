"""CIFAR-10 with 4,000 labels: FlowGMM-cons (Table 1: 80.9%).

    python train.py --config=configs/cifar10_4k_cons.py --config.data.data_dir=DIR

The published setting, for a GPU.
"""

from configs import _color


def get_config():
    config = _color.get_config("cifar10", num_labels=4000)
    config.poster.row = "FlowGMM-cons"
    config.poster.accuracy = 80.9
    return config
