"""Numbers that the poster prints, for the columns beside ours (arXiv 1912.13025, its poster)."""

from typing import NamedTuple


class Calibration(NamedTuple):
    """A pair of columns of Table 2, before and after the temperature."""

    accuracy: float  # percent
    nll: float  # nats
    ece: float
    nll_after: float
    ece_after: float


# Table 2, by data set and number of labels (-1: all).
TABLE_2 = {
    ("mnist", 1000): Calibration(97.3, 0.295, 0.024, 0.094, 0.004),
    ("cifar10", -1): Calibration(89.3, 2.98, 0.108, 0.444, 0.038),
}
TEMPERATURE = 0.25  # of the samples in Figure 4 (b)
