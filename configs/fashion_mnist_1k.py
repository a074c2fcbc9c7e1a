"""FashionMNIST with 1,000 labels: FlowGMM-cons (not on the poster; its Figure 3 uses such a model).

    python train.py --config=configs/fashion_mnist_1k.py --config.data.data_dir=DIR

A network for the CPU. `--config=configs/fashion_mnist_1k.py:published` has the published network.
"""

from configs import _mnist


def get_config(variant: str = "cpu"):
    config = _mnist.get_config(variant, num_labels=1000)
    config.data.name = "fashion_mnist"
    config.augment.flip = variant == "cpu"
    return config
