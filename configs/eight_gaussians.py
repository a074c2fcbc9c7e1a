"""Eight Gaussians in three classes with 19 labels (Figure 2 e).

python train.py --config=configs/eight_gaussians.py
"""

from configs import _toy


def get_config():
    config = _toy.get_config()
    config.data.name = "eight_gaussians"
    return config
