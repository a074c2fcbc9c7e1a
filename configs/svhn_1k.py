"""SVHN with 1,000 labels: FlowGMM without the consistency term (Table 1: 82.42%).

    python train.py --config=configs/svhn_1k.py --config.data.data_dir=DIR

The published setting, for a GPU.
"""

from configs import _color


def get_config():
    config = _color.without_consistency(_color.get_config("svhn_cropped", num_labels=1000))
    config.poster.row = "FlowGMM"
    config.poster.accuracy = 82.42
    return config
