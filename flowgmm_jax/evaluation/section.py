"""What a part of the evaluation yields: numbers, figures and the rows of a table."""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from ml_collections import ConfigDict

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from flowgmm_jax.data.base import Dataset
from flowgmm_jax.data.splits import Split
from flowgmm_jax.models.base import Model

PANEL = 3.2  # inches, a side of a square panel
UNLABELED = "#4c78a8"  # the poster's blue
OTHER = "#e45756"
NEUTRAL = "#555555"


class Subject(NamedTuple):
    """What is evaluated: a trained model and the data of its run.

    Attributes:
      name: of the run, for legends.
      model: a model.
      params: its parameters.
      config: of the run, with the facts about its data filled in.
      dataset: its data.
      split: which training examples were labelled, unlabelled and held out.
    """

    name: str
    model: Model
    params: Any
    config: ConfigDict
    dataset: Dataset
    split: Split


class Picture(NamedTuple):
    """A figure of the report.

    Attributes:
      name: of its file, without the suffix.
      title: of the figure.
      caption: what it shows and how to read it.
      figure: the drawing.
      poster: its counterpart on the poster, such as "Figure 3"; empty where there is none.
      is_line_art: whether it is written as SVG too.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    poster: str = ""
    is_line_art: bool = True


class Row(NamedTuple):
    """A number of the report, as text, beside the poster's where there is one."""

    label: str
    measured: str
    poster: str = ""


class Section(NamedTuple):
    """A part of the report.

    Attributes:
      title: of the part.
      metrics: what it adds to ``metrics.json``; numbers, or dicts of them.
      rows: of its table.
      pictures: its figures.
      note: a paragraph on how the numbers were made.
    """

    title: str
    metrics: dict[str, Any]
    rows: list[Row]
    pictures: list[Picture]
    note: str = ""


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


def show_images(axes: Any, images: np.ndarray, levels: int) -> None:
    """Draws images (rows, columns, H, W, C), in grey levels, as one sheet.

    Values outside of [0, levels) are clipped; there is a line of white between images. Of images
    that are neither grey nor RGB, the mean of the channels is drawn.
    """
    if images.shape[-1] not in (1, 3):
        images = images.mean(-1, keepdims=True)
    rows, columns, height, width, channels = images.shape
    framed = np.ones((rows, columns, height + 1, width + 1, channels))
    framed[:, :, :height, :width] = np.clip(images / (levels - 1), 0, 1)
    sheet = framed.transpose(0, 2, 1, 3, 4).reshape(rows * (height + 1), -1, channels)
    axes.imshow(sheet[:-1, :-1], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def save(picture: Picture, folder: Path) -> None:
    """Writes ``NAME.png`` and, of line art, ``NAME.svg`` into a folder, and closes the figure."""
    picture.figure.savefig(folder / f"{picture.name}.png", dpi=120)
    if picture.is_line_art:
        picture.figure.savefig(folder / f"{picture.name}.svg", metadata={"Date": None})
    plt.close(picture.figure)
