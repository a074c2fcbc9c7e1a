"""Two short stays on machines without network: packed, stopped, carried, continued."""

import importlib
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from flowgmm_jax.errors import InputError
from flowgmm_jax.trained import load

ROOT = Path(__file__).parents[1]
PIECE = 300_000
JOBS = [
    {"name": "hello", "command": ["-c", "print('hello')"]},
    {
        "name": "moons",
        "config": "tests/tiny.py",
        "overrides": {"train.steps": 400, "train.checkpoint_every": 20, "train.log_every": 20},
    },
    {"name": "broken", "command": ["-c", "raise SystemExit(3)"]},
]


@pytest.fixture(autouse=True)
def scripts(monkeypatch):
    """Scripts import their neighbours."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    yield
    for name in ("offline_accelerator", "jobs", "pieces", "record"):
        sys.modules.pop(name, None)


@pytest.fixture
def offline(monkeypatch):
    module = importlib.import_module("offline_accelerator")
    monkeypatch.setattr(module, "make_wheels", lambda folder, names, pip: None)
    monkeypatch.chdir(ROOT)
    return module


@pytest.fixture
def pieces():
    return importlib.import_module("pieces")


@pytest.fixture
def listing():
    return importlib.import_module("jobs")


def stop_in_training(to_the_end):
    """``finish`` that tells a training to stop once it has saved something."""

    def finish(process, seconds):
        workdir = [a.removeprefix("--workdir=") for a in process.args if "--workdir=" in a]
        while workdir and process.poll() is None and seconds > 0:
            if any(p.name.isdecimal() for p in Path(workdir[0], "checkpoints").glob("*")):
                process.terminate()
                break
            time.sleep(0.02)
            seconds -= 0.02
        return to_the_end(process, seconds)

    return finish


def stay(offline, pieces, tmp_path, number, carried=None):
    """Root, results and output of a machine that is given a pack."""
    folder, root, output = (tmp_path / f"{name}{number}" for name in ("pack", "root", "output"))
    jobs = tmp_path / "jobs.json"
    jobs.write_text(json.dumps({"jobs": JOBS}))
    arguments = ["pack", str(folder), f"--jobs={jobs}", f"--piece_mb={PIECE / 1e6}"]
    offline.main([*arguments, *([f"--carried={carried}"] if carried else [])])
    paths = sorted(folder.glob("pack.tar.*"))
    assert len(paths) > 1
    assert all(0 < path.stat().st_size <= PIECE for path in paths)
    pieces.read(folder, "pack", root)
    output.mkdir()
    packed = offline.read_jobs(root / "pack.json")
    results = offline.run(root, packed, "", time.monotonic() + 300, output)
    offline.carry(root, results, output, 10**7, PIECE)
    return root, {result["name"]: result for result in results}, output


def test_a_training_goes_on_at_the_next_stay(offline, pieces, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(offline, "finish", stop_in_training(offline.finish))
        _, first, output = stay(offline, pieces, tmp_path, 1)
    assert first["hello"]["last_line"] == "hello"
    assert first["hello"]["status"] == "finished"
    assert first["broken"]["status"] == "failed with exit code 3"
    assert first["moons"]["status"] == "stopped"
    stopped_at = first["moons"]["step"]
    assert 0 < stopped_at < 400

    root, second, output = stay(offline, pieces, tmp_path, 2, carried=output)
    assert second["hello"] == first["hello"]
    assert second["moons"]["status"] == "finished"
    assert second["moons"]["step"] == 400
    rows = (root / "runs/offline/moons/metrics.jsonl").read_text().splitlines()
    steps = [json.loads(row)["step"] for row in rows]
    assert steps[0] == 20 and 400 in steps and steps == sorted(steps)
    assert json.loads((output / "results.json").read_text())["results"] == list(second.values())

    # Of a finished training the averaged parameters come back, which is what an evaluation needs.
    pieces.read(output, "carried", tmp_path / "home")
    carried = tmp_path / "home/runs/offline/moons"
    assert {path.name for path in carried.rglob("*.bin")} == {"step.bin", "ema_params.bin"}
    model, params = load(carried)
    assert np.isfinite(model.log_density(params, np.zeros((2, 2), np.float32))).all()


def test_without_a_budget_nothing_is_begun(offline, listing, tmp_path):
    jobs = listing.make_jobs(JOBS, "")
    assert offline.run(tmp_path, jobs, "", time.monotonic() - 1, tmp_path) == []


def test_a_process_that_does_not_end_is_stopped(offline):
    import subprocess

    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    assert offline.finish(process, 0.1) == offline.STOPPED
    assert process.returncode is not None


def test_what_is_too_large_is_not_carried(offline, pieces, tmp_path, capsys):
    state = tmp_path / "runs/offline/big/checkpoints/7/state"
    state.mkdir(parents=True)
    for name, size in {"metadata": 10, "ema_params.bin": 100, "params.bin": 1000}.items():
        (state / name).write_bytes(b"x" * size)
    output = tmp_path / "output"
    output.mkdir()
    offline.carry(tmp_path, [{"name": "big", "status": "stopped"}], output, 500, PIECE)
    assert "big: the checkpoint for resuming, 0 MB, is not carried" in capsys.readouterr().out
    pieces.read(output, "carried", tmp_path / "home")
    names = {path.name for path in (tmp_path / "home").rglob("*") if path.is_file()}
    assert names == {"metadata", "ema_params.bin"}


def test_the_default_jobs_are_jobs_and_their_tests_are_there(listing):
    assert [job.name for job in listing.read_jobs(None)] == [
        "tests", "accelerator", "mnist_1k", "cifar10_4k",
    ]  # fmt: skip
    assert [name for name in listing.DEVICE_TESTS if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"name": "a"}, "job 0: expected a name and a command or a config"),
        ({"name": "a", "config": "digits", "minute": 1}, "job 0 has 'minute': expected name"),
        ({"name": "a", "config": "digit"}, "--config=digit is no experiment"),
    ],
)
def test_a_bad_job_is_one_line(listing, entry, message):
    with pytest.raises(InputError, match=message):
        listing.make_jobs([entry], "jobs.json")


def test_a_folder_that_is_not_empty_stays_as_it_is(offline, tmp_path):
    (tmp_path / "results.json").write_text("mine")
    with pytest.raises(InputError, match="is not empty: expected a new folder"):
        offline.main(["run", str(tmp_path)])
    assert (tmp_path / "results.json").read_text() == "mine"


def test_missing_pieces_are_one_line(pieces, tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 5000)
    folder = tmp_path / "folder"
    folder.mkdir()
    paths = pieces.write(folder, "a", [(tmp_path / "file", "file")], 2000)
    paths[1].unlink()
    with pytest.raises(InputError, match="holds no a.tar.001: expected all pieces of a.tar"):
        pieces.read(folder, "a", tmp_path / "target")
    for path in paths[2:]:
        path.unlink()
    with pytest.raises(InputError, match="a.tar, in 1 pieces, is damaged or has more"):
        pieces.read(folder, "a", tmp_path / "target")
    with pytest.raises(InputError, match="holds no b.tar.000"):
        pieces.read(folder, "b", tmp_path / "target")
