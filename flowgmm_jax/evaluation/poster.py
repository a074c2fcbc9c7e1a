"""Numbers that the poster prints, for the columns beside ours (arXiv 1912.13025, its poster)."""

from typing import NamedTuple

from ml_collections import ConfigDict

TEMPERATURE = 0.25  # of the samples in Figure 4 (b)


class Accuracy(NamedTuple):
    """A cell of Table 1."""

    row: str
    accuracy: float  # percent


class Calibration(NamedTuple):
    """A pair of columns of Table 2, before and after the temperature."""

    accuracy: float  # percent
    nll: float  # nats
    ece: float
    nll_after: float
    ece_after: float


SUPERVISED_ALL, SUPERVISED = "FlowGMM Sup (all labels)", "FlowGMM Sup (n_l labels)"
FLOWGMM, CONSISTENCY = "FlowGMM", "FlowGMM-cons"
DIGLM_SUPERVISED_ALL, DIGLM, M1_M2 = "DIGLM Sup (all labels)", "DIGLM SSL", "M1+M2 VAE SSL"

# Table 1, by row and data set, with the number of labels n_l of its column.
LABELS = {"mnist": 1000, "svhn_cropped": 1000, "cifar10": 4000}
TABLE_1 = {
    DIGLM_SUPERVISED_ALL: {"mnist": 99.33, "svhn_cropped": 95.74},
    SUPERVISED_ALL: {"mnist": 99.63, "svhn_cropped": 95.81, "cifar10": 88.44},
    M1_M2: {"mnist": 97.60, "svhn_cropped": 63.98},
    DIGLM: {"mnist": 97.79},
    SUPERVISED: {"mnist": 97.36, "svhn_cropped": 78.26, "cifar10": 73.13},
    FLOWGMM: {"mnist": 98.94, "svhn_cropped": 82.42, "cifar10": 78.24},
    CONSISTENCY: {"mnist": 99.0, "svhn_cropped": 86.44, "cifar10": 80.9},
}
# Rows of a model by what it is given: all labels and nothing else, n_l labels alone, or n_l labels
# and unlabelled examples. The poster has no DIGLM and no M1+M2 of n_l labels alone.
ROWS = {
    "flowgmm": (SUPERVISED_ALL, SUPERVISED, FLOWGMM),
    "diglm": (DIGLM_SUPERVISED_ALL, None, DIGLM),
    "m1m2": (None, None, M1_M2),
}
# Table 2, by data set and number of labels (-1: all).
TABLE_2 = {
    ("mnist", 1000): Calibration(97.3, 0.295, 0.024, 0.094, 0.004),
    ("cifar10", -1): Calibration(89.3, 2.98, 0.108, 0.444, 0.038),
}


def table_1(config: ConfigDict) -> Accuracy | None:
    """The cell of Table 1 that a config reproduces, by its model, data, labels and loss; None if
    there is none."""
    data, loss = config.data, config.loss
    if config.model not in ROWS:
        return None
    of_all, of_labels, of_both = ROWS[config.model]
    if data.num_labels == -1 and not config.train.batch_unlabeled and loss.labeled_weight:
        row = of_all
    elif data.num_labels != LABELS.get(data.name):
        return None
    elif not config.train.batch_unlabeled:
        row = of_labels
    else:
        row = CONSISTENCY if loss.consistency_weight else of_both
    accuracy = TABLE_1.get(row, {}).get(data.name)
    return None if accuracy is None else Accuracy(row, accuracy)


def table_2(config: ConfigDict) -> Calibration | None:
    """The columns of Table 2, all of FlowGMM, of a config's data and labels; None if there are
    none."""
    if config.model != "flowgmm":
        return None
    return TABLE_2.get((config.data.name, config.data.num_labels))
