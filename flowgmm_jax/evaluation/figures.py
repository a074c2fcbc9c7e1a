"""What the figures of a report share: colours, panels, sheets of images."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

PANEL = 3.2  # inches, a side of a square panel
UNLABELED = "#4c78a8"  # the poster's blue
OTHER = "#e45756"
NEUTRAL = "#555555"
NAME_LETTERS = 16  # of the name of a class


def panels(rows: int, columns: int, width: float = PANEL, height: float = PANEL) -> tuple:
    """A figure of ``rows`` x ``columns`` panels, each ``width`` x ``height`` inches, and its axes
    as an array of that shape."""
    return plt.subplots(
        rows,
        columns,
        figsize=(columns * width, rows * height),
        squeeze=False,
        layout="constrained",
    )


def class_colors(num_classes: int) -> np.ndarray:
    """A colour of each class, (K, 4); they repeat after ten."""
    return plt.get_cmap("tab10")(np.arange(num_classes) % 10)


def fill_steps(axes: Any, share: np.ndarray, edges: np.ndarray, label: str, color: str) -> None:
    """Draws a histogram (N,) over edges (N + 1,), filled and outlined."""
    axes.stairs(share, edges, color=color, fill=True, alpha=0.4, label=label)
    axes.stairs(share, edges, color=color)


def show_images(axes: Any, images: np.ndarray, levels: int, names: Sequence[str] = ()) -> None:
    """Draws images (rows, columns, H, W, C), in grey levels, as one sheet.

    Values outside of [0, levels) are clipped; there is a line of white between images. Of images
    that are neither grey nor RGB, the mean of the channels is drawn. ``names`` are those of the
    rows.
    """
    if images.shape[-1] not in (1, 3):
        images = images.mean(-1, keepdims=True)
    rows, columns, height, width, channels = images.shape
    framed = np.ones((rows, columns, height + 1, width + 1, channels))
    framed[:, :, :height, :width] = np.clip(images / (levels - 1), 0, 1)
    sheet = framed.transpose(0, 2, 1, 3, 4).reshape(rows * (height + 1), -1, channels)
    axes.imshow(sheet[:-1, :-1], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    middles = (np.arange(len(names)) + 0.5) * (height + 1) - 1
    axes.set(xticks=[], yticks=middles)
    axes.set_yticklabels(map(shortened, names), fontsize="x-small")
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)


def shortened(name: str) -> str:
    """The name of a class, cut to ``NAME_LETTERS``."""
    return name if len(name) <= NAME_LETTERS else name[: NAME_LETTERS - 1] + "…"


def sheet(images: np.ndarray, levels: int, side: float = 0.5, names: Sequence[str] = ()) -> Figure:
    """A figure of ``show_images`` only, each image ``side`` inches wide."""
    rows, columns = images.shape[:2]
    figure, ((axes,),) = panels(1, 1, side * columns, side * rows)
    show_images(axes, images, levels, names)
    return figure
