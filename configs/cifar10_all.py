"""CIFAR-10 with 49,000 labels: FlowGMM Sup (Table 1, all 50,000: 88.44%).

    python train.py --config=configs/cifar10_all.py --config.data.data_dir=DIR

The published network, for a GPU; batch and steps of this row are our choice.
The other 1,000 labels are held out: eval.py fits the temperature of Table 2 on them.
"""

from configs import _color
from configs._supervised import supervised


def get_config():
    config = supervised(_color.get_config("cifar10", num_labels=4000))
    config.data.num_labels = -1
    config.data.validation = 1000
    config.poster.row = "FlowGMM Sup (all labels)"
    config.poster.accuracy = 88.44
    return config
