"""Two circles with 4 + 7 labels (Figure 2 d).

python train.py --config=configs/circles.py

Measured on 2 cores: 100.00 ± 0.00% of the points over five seeds, 25 to 38 s
(python benchmarks/toys.py).
"""

from configs import _toy


def get_config():
    config = _toy.get_config()
    config.data.name = "circles"
    return config
