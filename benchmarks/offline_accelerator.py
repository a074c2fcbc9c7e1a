"""A list of jobs on a machine without network, for a short stay, and again on the next one.

Where there is a network:

    python benchmarks/offline_accelerator.py pack FOLDER --data_dir=DIR --wheels optax chex

writes FOLDER/pack.tar.000, .001 and so on: this project and its wheel, the arrays of the data that
the jobs need, and wheels of packages that the machine lacks. There:

    cat pack.tar.* | tar x && pip install --no-index --no-deps wheels/*.whl
    python benchmarks/offline_accelerator.py run OUTPUT --budget_minutes=13

runs the jobs one after the other until the budget is spent, and writes into OUTPUT results.json,
after every job, and at the end carried.tar.000 and so on: logs, metrics and newest checkpoints. The
next ``pack`` takes them with ``--carried=OUTPUT``, and the next ``run`` goes on: finished jobs are
left out, a training that was stopped continues from its checkpoint, exactly.

Jobs are those of benchmarks/jobs.py, or of a JSON file of that form.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pieces
import record
from jobs import Job, prepared_set, read_jobs
from record import ROOT, Result
from rich.console import Console
from rich.table import Table

from flowgmm_jax.data import tfds
from flowgmm_jax.errors import InputError
from flowgmm_jax.files import read_json, write_json

NOT_PACKED = ("docs/", "results/")
RUNS = Path("runs/offline")
GRACE = 30  # seconds to save in, once a job is told to stop
STOPPED = 128 + 15
CARRIED_STATE = ("metadata", "step.bin", "ema_params.bin")  # what an evaluation needs
FINISHED = "finished"


# ------------------------------------------------------------------------------------- pack


def pack(
    folder: Path,
    jobs: Sequence[Job],
    data_dir: str,
    wheels: Sequence[str],
    pip: Sequence[str],
    carried: Path | None,
    most: int,
) -> list[Path]:
    """Writes the pieces; ``wheels`` are downloaded by pip with the further arguments ``pip``."""
    with tempfile.TemporaryDirectory() as temporary:
        stage = Path(temporary)
        if carried:
            pieces.read(carried, "carried", stage)
        (stage / "data").mkdir()
        kept = []
        for job in jobs:
            name = prepared_set(job)
            try:
                if name and not (stage / f"data/{name}-train.npz").exists():
                    tfds.write_arrays(name, data_dir, stage / "data")
                kept.append(job)
            except FileNotFoundError as error:
                print(f"{job.name} is left out: {error}", file=sys.stderr)
        make_wheels(stage / "wheels", wheels, pip)
        entries = [_without_defaults(job) for job in kept]
        write_json(
            stage / "pack.json", {"commit": record.circumstances()["commit"], "jobs": entries}
        )
        files = [*_sources(), *_files(stage, stage)]
        return pieces.write(folder, "pack", files, most)


def make_wheels(folder: Path, names: Sequence[str], pip: Sequence[str]) -> None:
    """The project's wheel, and those of the packages."""
    command = [sys.executable, "-m", "pip", "-q"]
    subprocess.run([*command, "wheel", "--no-deps", "-w", folder, ROOT], check=True)
    if names:
        options = ["--no-deps", "--only-binary=:all:", "-d", folder, *pip]
        subprocess.run([*command, "download", *options, *names], check=True)


def _without_defaults(job: Job) -> dict[str, Any]:
    default = Job(job.name)._asdict()
    return {k: v for k, v in job._asdict().items() if k == "name" or v != default[k]}


def _sources() -> Iterator[tuple[Path, str]]:
    """The files of this checkout that run."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], check=True, capture_output=True, text=True
    )
    for name in listed.stdout.splitlines():
        if not name.startswith(NOT_PACKED) and (ROOT / name).is_file():
            yield ROOT / name, name


def _files(folder: Path, root: Path) -> Iterator[tuple[Path, str]]:
    """All files of a folder, with their names in ``root``."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, str(path.relative_to(root))


# -------------------------------------------------------------------------------------- run


def run(
    root: Path, jobs: Sequence[Job], data_dir: str, deadline: float, output: Path
) -> list[Result]:
    """Runs the jobs in the directory ``root``/runs/offline until the deadline, by
    ``time.monotonic()``; after each, the results go into ``output``/results.json."""
    path = root / RUNS / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    results = {r["name"]: r for r in (read_json(path)["results"] if path.exists() else ())}
    here = _circumstances(root)
    for job in jobs:
        left = min(deadline - time.monotonic(), 60 * job.minutes)
        if results.get(job.name, {}).get("status") == FINISHED or left <= 0:
            continue
        print(f"{job.name}: {' '.join(_shown(job))}", flush=True)
        results[job.name] = _attempt(root, job, data_dir, left) | here
        for place in (path, output / "results.json"):
            write_json(place, {"results": list(results.values())})
    return list(results.values())


def _circumstances(root: Path) -> dict[str, Any]:
    """Hardware, versions, commit and date, found by a process of its own: this one leaves the
    accelerator to the jobs."""
    code = "import json, record; print(json.dumps(record.circumstances()))"
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "benchmarks",
        env=_environment(),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    here = json.loads(found.stdout.splitlines()[-1])
    packed = root / "pack.json"
    return here | ({"commit": read_json(packed)["commit"]} if packed.exists() else {})


def _environment() -> dict[str, str]:
    # Tests use the CPU where nothing is said; an empty text is JAX's own choice. Their processes
    # share the memory of an accelerator, of which JAX would otherwise take most for each.
    defaults = {"JAX_PLATFORMS": "", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    return {**defaults, **os.environ, "PYTHONPATH": str(ROOT)}


def _arguments(job: Job, workdir: Path, data_dir: str) -> list[str]:
    """Of Python."""
    if job.command:
        return list(job.command)
    flags = [f"--config.{name}={value}" for name, value in job.overrides.items()]
    if data_dir and prepared_set(job):
        flags.append(f"--config.data.data_dir={data_dir}")
    return [str(ROOT / "train.py"), f"--config={job.config}", f"--workdir={workdir}", *flags]


def _shown(job: Job) -> list[str]:
    """The command of a job, without the folders of a computer."""
    arguments = _arguments(job, RUNS / job.name, "DIR")
    return ["python", *(argument.removeprefix(f"{ROOT}/") for argument in arguments)]


def _attempt(root: Path, job: Job, data_dir: str, seconds: float) -> Result:
    """The result of a job that is given so many seconds, then told to stop, and killed."""
    workdir, log = root / RUNS / job.name, root / RUNS / f"{job.name}.log"
    begun = time.monotonic()
    with log.open("a") as file:
        process = subprocess.Popen(
            [sys.executable, *_arguments(job, workdir, data_dir)],
            cwd=root,
            env=_environment(),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        code = finish(process, seconds)
    status = {0: FINISHED, STOPPED: "stopped"}.get(code, f"failed with exit code {code}")
    lines = log.read_text(errors="replace").replace("\r", "\n").split("\n")
    return {
        "name": job.name,
        "command": shlex.join(_shown(job)),
        "status": status,
        "seconds_here": round(time.monotonic() - begun, 1),
        "last_line": next((line for line in reversed(lines) if line.strip()), ""),
        **_progress(workdir),
    }


def finish(process: subprocess.Popen, seconds: float) -> int:
    """The exit code of a process, or ``STOPPED`` if it was told to stop after so many seconds."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    return STOPPED


def _progress(workdir: Path) -> dict[str, Any]:
    """Of a training: its result, or the newest checkpoint and the last row of each kind."""
    found: dict[str, Any] = {}
    if checkpoints := _checkpoints(workdir):
        found["step"] = int(checkpoints[-1].name)
    rows = workdir / "metrics.jsonl"
    for line in rows.read_text().splitlines() if rows.exists() else ():
        found |= {k: v for k, v in json.loads(line).items() if "test_" in k or "validation_" in k}
    result = workdir / "result.json"
    return found | (read_json(result) if result.exists() else {})


def _checkpoints(workdir: Path) -> list[Path]:
    """Complete ones, the newest last."""
    found = (workdir / "checkpoints").glob("*")
    return sorted((path for path in found if path.name.isdecimal()), key=lambda p: int(p.name))


# ------------------------------------------------------------------------------------ carry


def carry(root: Path, results: Sequence[Result], output: Path, most: int, piece: int) -> list[Path]:
    """Writes what is carried back in pieces, of ``most`` bytes in all but for a little.

    Logs, tables and metrics; of a training that can go on, its newest checkpoint, and of another
    what an evaluation needs of it, the averaged parameters. What is too large is named and left.
    """
    runs, room = root / RUNS, most
    trained = {runs / result["name"]: result["status"] for result in results}
    files = [f for f in _files(runs, root) if not any(t in f[0].parents for t in trained)]
    for workdir, status in trained.items():
        files += [(p, str(p.relative_to(root))) for p in sorted(workdir.glob("*.json*"))]
        if not (checkpoints := _checkpoints(workdir)):
            continue
        whole = list(_files(checkpoints[-1], root))
        averaged = [f for f in whole if not f[1].endswith(".bin") or f[0].name in CARRIED_STATE]
        for choice in (averaged,) if status == FINISHED else (whole, averaged):
            size = sum(path.stat().st_size for path, _ in choice)
            if size <= room:
                files, room = files + choice, room - size
                break
            what = "resuming" if choice is whole else "evaluating"
            print(
                f"{workdir.name}: the checkpoint for {what}, {size / 1e6:.0f} MB, is not carried: "
                f"{room / 1e6:.0f} MB are left"
            )
    return pieces.write(output, "carried", files, piece)


# ------------------------------------------------------------------------------------- main


def table(results: Sequence[Result]) -> Table:
    drawn = Table("job", "status", "step", "accuracy (%)", "bits/dim", "s", "last line")
    for result in results:
        numbers = (result.get("accuracy"), result.get("bits_per_dim"))
        drawn.add_row(
            result["name"],
            result["status"],
            str(result.get("step", "")),
            *("" if number is None else f"{number:.4g}" for number in numbers),
            f"{result['seconds_here']:.0f}",
            result["last_line"][:60],
        )
    return drawn


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="action", required=True)
    packs, runs = commands.add_parser("pack"), commands.add_parser("run")
    packs.add_argument("folder", type=Path)
    packs.add_argument("--wheels", nargs="*", default=[], help="packages that the machine lacks")
    packs.add_argument("--pip", default="", help="for pip download: '--python-version=3.12 ...'")
    packs.add_argument("--carried", type=Path, help="output of the last stay")
    packs.add_argument("--piece_mb", type=float, default=60)
    runs.add_argument("output", type=Path)
    runs.add_argument("--budget_minutes", type=float, default=13)
    runs.add_argument("--carry_mb", type=float, default=60, help="of checkpoints, in all")
    runs.add_argument("--piece_mb", type=float, default=15)
    for command in (packs, runs):
        command.add_argument("--jobs", type=Path)
        command.add_argument("--data_dir", default="", help="as config.data.data_dir")
    flags = parser.parse_args(arguments)
    folder = flags.folder if flags.action == "pack" else flags.output
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty: expected a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    piece = int(flags.piece_mb * pieces.MEGABYTE)
    if flags.action == "pack":
        jobs, pip = read_jobs(flags.jobs), shlex.split(flags.pip)
        found = pack(flags.folder, jobs, flags.data_dir, flags.wheels, pip, flags.carried, piece)
    else:
        deadline = time.monotonic() + 60 * flags.budget_minutes
        packed = ROOT / "pack.json"
        jobs = read_jobs(flags.jobs or (packed if packed.exists() else None))
        data_dir = flags.data_dir or str(ROOT / "data" if packed.exists() else "")
        results = run(ROOT, jobs, data_dir, deadline, flags.output)
        most = int(flags.carry_mb * pieces.MEGABYTE)
        found = carry(ROOT, results, flags.output, most, piece)
        Console(width=140).print(table(results))
    print(*found, sep="\n")


if __name__ == "__main__":
    record.run(main)
