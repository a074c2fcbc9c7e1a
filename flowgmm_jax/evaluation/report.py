"""The report: one HTML file that needs no network, with every figure inside it."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2

from flowgmm_jax.evaluation.section import Picture, Row, Section
from flowgmm_jax.files import write_text

PIXELS_AN_INCH = 62  # below it the text of a figure cannot be read: narrow screens scroll instead


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
    path: Path,
    title: str,
    facts: Sequence[Row],
    sections: Sequence[Section],
    command: str,
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
