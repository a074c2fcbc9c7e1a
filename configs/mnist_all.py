"""MNIST with 59,000 labels: FlowGMM Sup (Table 1, all 60,000: 99.63%).

    python train.py --config=configs/mnist_all.py --config.data.data_dir=DIR

A network for the CPU. `--config=configs/mnist_all.py:published` has the published network;
batch and steps of this row are our choice.
The other 1,000 labels are held out: eval.py fits the temperature of Table 2 on them.
"""

from configs import _mnist
from configs._supervised import supervised


def get_config(variant: str = "cpu"):
    config = supervised(_mnist.get_config(variant, num_labels=1000))
    config.data.num_labels = -1
    config.data.validation = 1000
    config.poster.row = "FlowGMM Sup (all labels)"
    config.poster.accuracy = 99.63
    return config
