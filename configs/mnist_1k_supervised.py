"""MNIST with 1,000 labels and nothing else: FlowGMM Sup (Table 1: 97.36%).

    python train.py --config=configs/mnist_1k_supervised.py --config.data.data_dir=DIR

A network for the CPU. `--config=configs/mnist_1k_supervised.py:published` has the published
network; batch and steps of this row are our choice.
"""

from configs import _mnist
from configs._supervised import supervised


def get_config(variant: str = "cpu"):
    config = supervised(_mnist.get_config(variant, num_labels=1000))
    config.poster.row = "FlowGMM Sup (n_l labels)"
    config.poster.accuracy = 97.36
    return config
