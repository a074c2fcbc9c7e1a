"""The report: its parts, and one HTML file that needs no network, with every figure inside it."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from flowgmm_jax.files import write_text

PIXELS_AN_INCH = 62  # below it the text of a figure cannot be read: narrow screens scroll instead


class Picture(NamedTuple):
    """A figure of the report.

    Attributes:
      name: of its file, without the suffix.
      title: of the figure.
      caption: what it shows and how to read it.
      figure: the drawing.
      poster: its counterpart on the poster, such as "Figure 3"; empty if there is none.
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


def save_picture(picture: Picture, folder: Path) -> None:
    """Writes ``NAME.png`` and, of line art, ``NAME.svg`` into a folder, and closes the figure."""
    picture.figure.savefig(folder / f"{picture.name}.png", dpi=120)
    if picture.is_line_art:
        picture.figure.savefig(folder / f"{picture.name}.svg", metadata={"Date": None})
    plt.close(picture.figure)


def _inline(picture: Picture, folder: Path) -> dict[str, Any]:
    """A picture as the template takes it; SVG where there is one and it is the smaller file."""
    files = {kind: folder / f"{picture.name}.{kind}" for kind in ("svg", "png")}
    found = [(path.stat().st_size, kind) for kind, path in files.items() if path.exists()]
    _, kind = min(found)
    content = base64.b64encode(files[kind].read_bytes()).decode()
    mime = "image/svg+xml" if kind == "svg" else "image/png"
    width = round(picture.figure.get_figwidth() * PIXELS_AN_INCH)
    return {**picture._asdict(), "source": f"data:{mime};base64,{content}", "width": width}


def write(
    path: Path, title: str, facts: Sequence[Row], sections: Sequence[Section], command: str
) -> None:
    """Writes the report.

    Args:
      path: of the HTML file; the pictures' files lie beside it.
      title: of the page.
      facts: what was evaluated, as label and value.
      sections: the parts, whose pictures have been saved.
      command: that makes this report again.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    parts = [
        {
            **section._asdict(),
            "has_poster": any(row.poster for row in section.rows),
            "pictures": [_inline(picture, path.parent) for picture in section.pictures],
        }
        for section in sections
    ]
    page = environment.get_template("report.html.jinja").render(
        title=title, facts=facts, sections=parts, command=command
    )
    write_text(path, page)
