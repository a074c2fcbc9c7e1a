"""README.md, CHANGELOG.md and results/ are pages of the site, though they do not lie in docs/."""

import os
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]


def on_files(files, config):
    """Adds the pages: the README is the first one."""
    pages = {"index.md": ROOT / "README.md", "CHANGELOG.md": ROOT / "CHANGELOG.md"}
    pages |= {f"results/{path.name}": path for path in sorted(ROOT.glob("results/*.md"))}
    for uri, path in pages.items():
        files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turns links between files of the repository into links between pages of the site; of a link
    to a file that is no page, the text is left."""
    folder = Path(page.file.abs_src_path).parent

    def to_page(match):
        text, target, anchor = match.groups(default="")
        if ":" in target or not target:
            return match[0]
        path = (folder / target).resolve().relative_to(ROOT).as_posix()
        uri = "index.md" if path == "README.md" else path.removeprefix("docs/")
        if files.get_file_from_path(uri) is None:
            return text
        return f"[{text}]({os.path.relpath(uri, os.path.dirname(page.file.src_uri))}{anchor})"

    return re.sub(r"\[([^\]]*)\]\(([^)#\s]*)(#[^)]*)?\)", to_page, markdown)
