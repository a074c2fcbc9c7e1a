"""A pinwheel of five arms, five classes, with 13 labels (Figure 2 f).

python train.py --config=configs/pinwheel.py
"""

from configs import _toy


def get_config():
    config = _toy.get_config()
    config.data.name = "pinwheel"
    return config
