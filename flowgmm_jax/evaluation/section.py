"""What a part of the evaluation yields: numbers, figures and the rows of a table."""

from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import pyplot as plt
from matplotlib.figure import Figure


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


def save(picture: Picture, folder: Path) -> None:
    """Writes ``NAME.png`` and, of line art, ``NAME.svg`` into a folder, and closes the figure."""
    picture.figure.savefig(folder / f"{picture.name}.png", dpi=120)
    if picture.is_line_art:
        picture.figure.savefig(folder / f"{picture.name}.svg", metadata={"Date": None})
    plt.close(picture.figure)
