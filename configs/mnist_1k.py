"""MNIST with 1,000 labels: FlowGMM without the consistency term (Table 1: 98.94%).

    python train.py --config=configs/mnist_1k.py --config.data.data_dir=DIR

A network for the CPU. `--config=configs/mnist_1k.py:published` is the published setting.
"""

from configs import _mnist


def get_config(variant: str = "cpu"):
    config = _mnist.get_config(variant, num_labels=1000)
    config.loss.consistency_weight = 0.0
    config.poster.row = "FlowGMM"
    config.poster.accuracy = 98.94
    return config
