"""Two moons with 5 + 5 labels (Figure 2).

python train.py --config=configs/moons.py
"""

from configs import _toy


def get_config():
    config = _toy.get_config()
    config.data.name = "moons"
    return config
