"""MNIST with 1,000 labels on two CPU cores: FlowGMM-cons (Table 1: 99.0%).

    python train.py --config=configs/mnist_1k_fast.py --config.data.data_dir=DIR \
        --config.data.split_file=mnist_1000_0.npz
"""

from configs import _fast


def get_config():
    config = _fast.get_config("mnist", num_labels=1000)
    config.poster.row = "FlowGMM-cons"
    config.poster.accuracy = 99.0
    return config
