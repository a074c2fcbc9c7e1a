"""Results of many runs in one JSON file, and the same as a page: what tables 1 and 2 share.

The file holds a list of results, a line each, so that a result can be read, compared in a history
and deleted by itself. A result that is there is not made again.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from flowgmm_jax.compilation import keep_compiled_programs
from flowgmm_jax.errors import InputError
from flowgmm_jax.files import read_json, write_text
from flowgmm_jax.runs.signals import Stopped

Result = dict[str, Any]

ROOT = Path(__file__).parents[1]
PACKAGES = ("jax", "flax", "numpy", "scikit-learn")
KEY = ("system", "dataset", "split")  # what there is one result of
# Fields of every result; one that was run has "accuracy" and what it took, others "not_run".
FIELDS = (*KEY, "config", "overrides", "seed")
RUN_FIELDS = ("accuracy", "seconds", "hardware", "commit", "versions", "date")


def key(result: Result) -> tuple[str, ...]:
    """The names of a result."""
    return tuple(result[name] for name in KEY)


def read(path: Path) -> list[Result]:
    """The results of a file; none if there is no file.

    Raises:
      InputError: for a file that is not one of ours.
    """
    if not path.exists():
        return []
    results = read_json(path).get("results")
    if not isinstance(results, list):
        raise InputError(f"{path} has no list of results")
    for number, result in enumerate(results):
        names = FIELDS if "not_run" in result else (*FIELDS, *RUN_FIELDS)
        if missing := [name for name in names if name not in result]:
            raise InputError(f"{path}: result {number} has no {', '.join(missing)}")
    return results


def write(path: Path, results: Iterable[Result], page: Callable[[list[Result]], str]) -> None:
    """Writes results, a line each, and beside them their page, a file in Markdown."""
    results = list(results)
    lines = ",\n".join(json.dumps(result, ensure_ascii=False) for result in results)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f'{{"results": [\n{lines}\n]}}\n')
    write_text(path.with_suffix(".md"), page(results))


def updated(results: list[Result], new: Result) -> list[Result]:
    """The results with a new one, in place of the one of the same name if there is one. A result
    that was run is never replaced by one that was not."""
    for place, old in enumerate(results):
        if key(old) == key(new):
            kept = old if "not_run" in new and "not_run" not in old else new
            return [*results[:place], kept, *results[place + 1 :]]
    return [*results, new]


def was_run(results: list[Result], names: tuple[str, ...]) -> bool:
    """Whether a result of these names was run."""
    return any(key(result) == names and "not_run" not in result for result in results)


def circumstances() -> dict[str, Any]:
    """Where and with what something was just run: hardware, commit, versions, date."""
    return {
        "hardware": _hardware(),
        "commit": _commit(),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in PACKAGES},
        },
        "date": str(date.today()),
    }


def _hardware() -> str:
    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{jax.device_count()} x {device.device_kind}"
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", info.read_text()) if info.exists() else None
    return f"{os.cpu_count()} cores of {found[1] if found else platform.processor()}"


def _commit() -> str:
    """The commit, and "-dirty" if files other than results, which are being written, differ."""

    def git(*arguments):
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!results")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if changed else "")


def spread(values: Sequence[float], form: str) -> str:
    """Mean ± standard deviation, or the value if there is only one."""
    mean = form.format(statistics.mean(values))
    if len(values) == 1:
        return mean
    return f"{mean} ± {form.format(statistics.stdev(values))}"


def duration(seconds: float) -> str:
    """In seconds, minutes or hours."""
    for unit, size in (("s", 1), ("min", 60)):
        if seconds < 120 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 3600:.1f} h"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def parser(documentation: str, splits: int) -> argparse.ArgumentParser:
    """The flags that the scripts of the tables share.

    Args:
      documentation: of the script.
      splits: labelled sets of a cell, by default.
    """
    flags = argparse.ArgumentParser(
        description=documentation, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--only", default="", help="regular expression of 'DATASET SYSTEM'")
    flags.add_argument("--splits", type=int, default=splits, help="labelled sets of a cell")
    flags.add_argument("--data_dir", default="", help="as config.data.data_dir")
    flags.add_argument("--splits_dir", default="", help="of mnist_1000_0.npz and so on")
    flags.add_argument("--output", type=Path, help="default: in results/")
    return flags


def run(main: Callable[[], None]) -> None:
    """A script's ``main``; bad input and a stop end it with one line."""
    keep_compiled_programs()
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"error: {error}")
    except Stopped as stopped:
        sys.exit(f"{stopped}")
