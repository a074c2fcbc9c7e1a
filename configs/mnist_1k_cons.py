"""MNIST with 1,000 labels: FlowGMM-cons (Table 1: 99.0%).

    python train.py --config=configs/mnist_1k_cons.py --config.data.data_dir=DIR \
        --config.data.split_file=mnist_1000_0.npz

Measured on 2 cores: 97.5% at 3.29 bits/dim after 46 minutes (results/mnist_1k_cons_cpu.md).

A network for the CPU. `--config=configs/mnist_1k_cons.py:published` is the published setting.
"""

from configs import _mnist


def get_config(variant: str = "cpu"):
    config = _mnist.get_config(variant, num_labels=1000)
    config.poster.row = "FlowGMM-cons"
    config.poster.accuracy = 99.0
    return config
