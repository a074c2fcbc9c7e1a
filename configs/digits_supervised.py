"""scikit-learn's digits with 100 labels and nothing else: what unlabelled data is compared with.

python train.py --config=configs/digits_supervised.py

Measured on 2 cores: 89.0 ± 0.9% over five labelled sets (python benchmarks/digits.py).
"""

from configs import digits
from configs._supervised import supervised


def get_config():
    return supervised(digits.get_config())
