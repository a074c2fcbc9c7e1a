"""MNIST with 100 labels: FlowGMM-cons (not on the poster).

    python train.py --config=configs/mnist_100.py --config.data.data_dir=DIR

A network for the CPU. `--config=configs/mnist_100.py:published` is the published setting.
"""

from configs import _mnist


def get_config(variant: str = "cpu"):
    return _mnist.get_config(variant, num_labels=100)
