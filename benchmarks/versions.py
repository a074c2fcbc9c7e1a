"""The suite at both ends of the dependencies' versions, deprecations of our own code as errors.

    python benchmarks/versions.py results/versions.md [--oldest=PYTHON] [--newest=PYTHON] [TEST ...]

The oldest end installs the lower bound of every dependency in setup.cfg, the newest the newest that
pip finds, each into a new environment of its own interpreter: by default python3.11, and the newest
python3.X that is there. Each installs the built wheel, runs the given tests or all, and trains one
of the experiments from an empty directory, where only the wheel can be imported.
"""

import argparse
import configparser
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import record
from packaging.requirements import Requirement
from record import ROOT

from flowgmm_jax.files import write_text

SHOWN = ("jax", "flax", "optax", "orbax-checkpoint", "numpy", "pandas", "scikit-learn")
PYTHONS = [f"python3.{minor}" for minor in (14, 13, 12, 11)]
EXAMPLE = """
import flowgmm_jax as fg
result = fg.train(fg.load_config("moons", steps=300), "runs/moons")
assert "site-packages" in fg.__file__ and result.accuracy > 80, (fg.__file__, result)
"""


class End(NamedTuple):
    """One end of the versions: its name, an interpreter, and the constraints of pip."""

    name: str
    python: str
    constraints: str


def newest_python() -> str:
    """The newest interpreter that starts."""
    for name in filter(shutil.which, PYTHONS):
        if not subprocess.run([name, "--version"], capture_output=True).returncode:
            return name
    return sys.executable


def lower_bounds(setup: Path) -> str:
    """Every dependency of setup.cfg at its lower bound, a line each.

    Raises:
      SystemExit: for a dependency without one.
    """
    config = configparser.ConfigParser()
    config.read(setup)
    options = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    bounds = []
    for line in "\n".join(options).split():
        requirement = Requirement(line)
        least = [spec.version for spec in requirement.specifier if spec.operator == ">="]
        if least:
            bounds.append(f"{requirement.name}=={least[0]}")
        elif line in config["options"]["install_requires"].split():
            sys.exit(f"{setup}: {line} has no lower bound")
    return "\n".join(sorted(set(bounds)))


def environment(end: End, wheel: Path, folder: Path) -> Path:
    """The interpreter of a new environment with the wheel and what its tests need."""
    constraints = folder / "constraints.txt"
    constraints.write_text(end.constraints)
    subprocess.run([end.python, "-m", "venv", folder / "env"], check=True)
    python = folder / "env" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "-c", constraints, f"{wheel}[test]"]
    subprocess.run(install, check=True)
    return python


def versions(python: Path) -> dict[str, str]:
    """Of the interpreter and of some packages."""
    code = "import sys, importlib.metadata as m; print(sys.version.split()[0], *map(m.version, {}))"
    found = subprocess.run(
        [python, "-c", code.format(SHOWN)], check=True, capture_output=True, text=True
    )
    return dict(zip(("Python", *SHOWN), found.stdout.split(), strict=True))


def counts(text: str) -> dict[str, int]:
    """Of the last line of pytest: passed, failed, skipped and errors."""
    found = re.findall(r"(\d+) (passed|failed|skipped|error)", text.strip().splitlines()[-1])
    return {kind: int(count) for count, kind in found}


def measure(end: End, wheel: Path, tests: list[str]) -> dict[str, str | int]:
    """Versions, counts of tests and minutes of one end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python = environment(end, wheel, folder)
        alone = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        example = subprocess.run([python, "-c", EXAMPLE], cwd=folder, env=alone)
        started = time.monotonic()
        command = [python, "-m", "pytest", "-q", "-n", "0", "--dist", "no", *tests]
        done = subprocess.run(
            command, cwd=ROOT, env=alone, stdout=subprocess.PIPE, text=True, errors="replace"
        )
        print(done.stdout[-5000:], flush=True)
        return {
            "end": end.name,
            **versions(python),
            "wheel alone": "failed" if example.returncode else "trains",
            **dict.fromkeys(("passed", "failed", "skipped", "error"), 0),
            **counts(done.stdout),
            "minutes": f"{(time.monotonic() - started) / 60:.0f}",
        }


def page(rows: list[dict[str, str | int]], command: str) -> str:
    """The ends as a page of Markdown."""
    table = record.table(list(rows[0]), [list(map(str, row.values())) for row in rows])
    return (
        "# The ends of the versions\n\nThe oldest end has the lower bound of every dependency, the "
        "newest what pip finds. Deprecations of\nour own code are errors.\n\n"
        f"{table}\n`{command}`\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--oldest", default="python3.11")
    parser.add_argument("--newest", default=newest_python())
    parser.add_argument("tests", nargs="*")
    arguments = parser.parse_args()
    ends = [
        End("oldest", arguments.oldest, lower_bounds(ROOT / "setup.cfg")),
        End("newest", arguments.newest, ""),
    ]
    with tempfile.TemporaryDirectory() as folder:
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, ROOT]
        subprocess.run(build, check=True)
        (wheel,) = Path(folder).glob("*.whl")
        rows = [measure(end, wheel, arguments.tests) for end in ends]
    command = " ".join(["python benchmarks/versions.py", str(arguments.output), *arguments.tests])
    write_text(arguments.output, page(rows, command))
    print(arguments.output.read_text())


if __name__ == "__main__":
    main()
