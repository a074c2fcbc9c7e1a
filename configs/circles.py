"""Two circles with 4 + 7 labels (Figure 2 d).

python train.py --config=configs/circles.py
"""

from configs import _toy


def get_config():
    config = _toy.get_config()
    config.data.name = "circles"
    return config
