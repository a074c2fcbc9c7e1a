"""SVHN with 1,000 labels: FlowGMM-cons (Table 1: 86.44%).

    python train.py --config=configs/svhn_1k_cons.py --config.data.data_dir=DIR

The published setting, for a GPU.
"""

from configs import _color


def get_config():
    config = _color.get_config("svhn_cropped", num_labels=1000)
    config.poster.row = "FlowGMM-cons"
    config.poster.accuracy = 86.44
    return config
