"""An exported model: the same numbers in a process that cannot import the package; parameters in a
file; labels of files by the command line."""

import csv
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from helpers import compiled, make_config, perturbed
from PIL import Image
from scipy.special import logsumexp, softmax

import flowgmm_jax as fg
from flowgmm_jax import exported, predict
from flowgmm_jax.data import own
from flowgmm_jax.data.base import Info
from flowgmm_jax.errors import InputError
from flowgmm_jax.models.build import build
from flowgmm_jax.models.raw import in_raw_units, taking_raw

pytest.importorskip("flatbuffers")
pytest.importorskip("safetensors")

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(6, 4)) * [1, 10, 100, 1] + [0, 3, 0, 50]
IMAGES = RNG.integers(0, 256, (6, 8, 8, 3), np.uint8)

FLOWS = {
    "plane": (VECTORS[:, :2], {"name": "vector_realnvp", "steps": 2, "hidden": (8,)}),
    "table": (VECTORS, {"name": "table_realnvp", "steps": 2, "hidden": (8,)}),
    "coupling": (IMAGES, {"name": "glow", "stages": ((1, 1),), "width": 4}),
    "pixel_groups": (
        IMAGES[..., :1],
        {"name": "pixel_groups", "squeezes": 1, "class_code": True, "width": 4, "components": 2}
        | {"context_blocks": 0, "causal_blocks": 0, "class_width": 4, "class_blocks": 1},
    ),
    "channels_first": (
        np.float32(IMAGES.transpose(0, 3, 1, 2) / 255),
        {"name": "glow", "stages": ((1, 1),), "width": 4},
    ),
}
NAMES = ("ash", "elm", "oak")


class Case(NamedTuple):
    model: fg.Model
    params: Any
    x: np.ndarray
    table: np.ndarray
    path: Path


def trained(x, flow, model="flowgmm"):
    """A model that takes raw examples x, as ``fg.load`` gives it, and perturbed parameters."""
    y = np.array(NAMES)[np.arange(len(x)) % 3]
    dataset = own.of_arrays(x, y, "test")
    config = make_config(data={"name": "npz"}, flow=flow, prior={"means": "random"})
    config.model = model
    bare = build(config, dataset.info)
    inputs = dataset.x_train + np.float32(0.5) if dataset.info.levels else dataset.x_train
    params = compiled(bare.init)(jax.random.key(0), inputs, dataset.y_train)
    fields = dataset.source.preprocessing
    raw = taking_raw(in_raw_units(bare, fields, dataset.info.size), fields, dataset.info.shape)
    return raw._replace(classes=dataset.classes), perturbed(params)


@pytest.fixture(scope="module", params=FLOWS)
def case(request, tmp_path_factory):
    """A model, its parameters, examples, log p(x, y) of them, and the path of the export."""
    x, flow = FLOWS[request.param]
    model, params = trained(x, flow)
    path = tmp_path_factory.mktemp("exported") / "model.zip"
    fg.export(path, model, params)
    table = np.asarray(compiled(model.class_log_density)(params, x))
    return Case(model, params, x, table, path)


ALONE = """
import json, sys, zipfile
sys.modules["flowgmm_jax"] = None  # importing it is an error
import jax.export
import numpy as np
with zipfile.ZipFile(sys.argv[1]) as file:
    program = jax.export.deserialize(bytearray(file.read("program")))
    about = json.loads(file.read("about.json"))
for batch in (1, 6):
    x = np.load(sys.argv[2])[:batch].astype(about["dtype"])
    result = program.call(x)
    print(json.dumps({name: np.asarray(value, float).tolist() for name, value in result.items()}))
print(about["classes"])
"""


def test_it_runs_without_the_package(case, tmp_path):
    np.save(tmp_path / "x.npy", case.x)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(case.path), str(tmp_path / "x.npy")],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    one, all_of_them, classes = done.stdout.splitlines()
    assert classes == str(list(NAMES))
    for line, batch in ((one, 1), (all_of_them, 6)):
        found = {name: np.array(value) for name, value in json.loads(line).items()}
        expected = case.table[:batch]
        np.testing.assert_allclose(found["posterior"], softmax(expected, axis=-1), atol=1e-3)
        np.testing.assert_allclose(
            found["log_density"], logsumexp(expected, axis=-1), rtol=2e-4, atol=1e-2
        )


def test_what_it_takes_is_said(case):
    takes = exported.open_exported(case.path).about
    assert takes == exported.about(case.model)
    assert takes.shape == case.x.shape[1:] and takes.dtype in ("uint8", "float32")


@pytest.mark.parametrize("kind", ["classifier", "m1m2", "diglm"])
def test_models_of_another_kind(kind, tmp_path):
    x, flow = FLOWS["pixel_groups"]
    flow = FLOWS["coupling"][1] if kind == "diglm" else flow
    config = make_config(data={"name": "npz"}, flow=flow)
    if kind == "m1m2":
        config = make_config(data={"name": "npz"}, model=kind, m1m2={"hidden": (4,), "latents": 2})
    config.model = kind
    model = build(config, Info((8, 8, 1), 3, 256))
    params = compiled(model.init)(jax.random.key(0), x, np.arange(6) % 3)
    fg.export(tmp_path / "model.zip", model, params)
    found = exported.open_exported(tmp_path / "model.zip").call(x)
    assert found["posterior"].shape == (6, 3)
    assert ("log_density" in found) == (kind != "classifier")


def test_nothing_is_overwritten_and_no_digits_are_lost(tmp_path):
    (tmp_path / "old.zip").write_text("old")
    model, params = trained(*FLOWS["plane"])
    with pytest.raises(InputError, match=r"old.zip exists: expected the name of a new file"):
        fg.export(tmp_path / "old.zip", model, params)
    with pytest.raises(InputError, match=r"old.zip: expected a file of fg.export"):
        exported.open_exported(tmp_path / "old.zip")
    far, params = trained(FLOWS["plane"][0] + [0, 1e9], FLOWS["plane"][1])
    with pytest.raises(InputError, match=r"column 1 is \d+ standard deviations from 0, expected"):
        fg.export(tmp_path / "new.zip", far, params)


# ----------------------------------------------------------------------------- parameters


def test_parameters_come_back(case, tmp_path):
    path = tmp_path / "params.safetensors"
    params = jax.tree.map(lambda leaf: np.asarray(leaf).astype(jnp.bfloat16), case.params)
    fg.save_params(path, params)
    found = fg.load_params(path, jax.eval_shape(lambda: params))
    assert jax.tree.structure(found) == jax.tree.structure(params)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_other_parameters_are_refused(tmp_path):
    path = tmp_path / "params.safetensors"
    fg.save_params(path, {"a": jnp.zeros(3)})
    for like, message in (
        ({"b": jnp.zeros(3)}, "does hold a, which the model does not have|does not hold a"),
        ({"a": jnp.zeros(4)}, r"a is float32 \(3,\), expected float32 \(4,\)"),
    ):
        with pytest.raises(InputError, match=message):
            fg.load_params(path, like)
    with pytest.raises(InputError, match="params.safetensors exists"):
        fg.save_params(path, {"a": jnp.zeros(3)})
    path.write_text("other")
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        fg.load_params(path, {"a": jnp.zeros(3)})


# ----------------------------------------------------------------------------- prediction


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def labelled(tmp_path, capsys, model, path):
    output = tmp_path / "out.csv"
    predict.main([str(model), str(path), f"--output={output}"])
    return rows_of(output), capsys.readouterr().err


def test_an_array_is_labelled(case, tmp_path, capsys):
    bad = case.x.astype(float)
    bad[2] = np.nan
    np.save(tmp_path / "x.npy", bad)
    rows, said = labelled(tmp_path, capsys, case.path, tmp_path / "x.npy")
    assert "1 of 6 have no class, since values are missing" in said and "row 2" in said
    posterior = softmax(case.table, axis=-1)
    assert [row["class"] for row in rows] == [
        "" if i == 2 else NAMES[k] for i, k in enumerate(posterior.argmax(-1))
    ]
    assert float(rows[0]["probability"]) == pytest.approx(posterior[0].max(), abs=1e-3)
    expected = logsumexp(case.table[0])
    assert float(rows[0]["log_density"]) == pytest.approx(expected, rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("case", ["coupling", "pixel_groups", "channels_first"], indirect=True)
def test_a_folder_of_images_is_labelled(case, tmp_path, capsys):
    folder = tmp_path / "images"
    (folder / "below").mkdir(parents=True)
    stored = IMAGES if case.x.shape[1] == 3 else case.x
    for i, image in enumerate(stored):
        Image.fromarray(image.squeeze()).save(folder / "below" / f"{i}.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "small.png")
    (folder / "broken.png").write_text("no image")
    (folder / "notes.txt").write_text("no image")
    rows, said = labelled(tmp_path, capsys, case.path, folder)
    assert "note: 1 files .txt" in said and "2 of 8 have no class" in said
    names = {row["file"]: row["class"] for row in rows}
    expected = case.table.argmax(-1)
    assert [names[f"below/{i}.png"] for i in range(6)] == [NAMES[k] for k in expected]
    assert names["broken.png"] == names["small.png"] == ""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The directory of a run on a table with words and a missing value, and the table."""
    folder = tmp_path_factory.mktemp("run")
    rows = 60
    kind = np.arange(rows) % 2
    table = pd.DataFrame(
        {
            "age": RNG.normal(40 + 20 * kind, 3).round(1),
            "dose": RNG.normal(size=rows),
            "colour": np.array(["blue", "red", "green"])[np.arange(rows) % 3],
            "class": np.where(kind, "ill", "well"),
        }
    )
    table.loc[3, "age"] = np.nan
    table.to_csv(folder / "table.csv", index=False)
    config = fg.load_config("vectors", data_dir=str(folder / "table.csv"), steps=60)
    config.flow.steps, config.flow.hidden = 1, (8,)
    config.train.batch_labeled = config.train.batch_unlabeled = 16
    config.optimizer.learning_rate, config.optimizer.warmup_steps = 1e-2, 5
    fg.train(config, folder / "run")
    fg.export(folder / "model.zip", *fg.load(folder / "run"))
    return folder


def test_a_table_is_labelled_by_a_run_and_its_export_alike(run, tmp_path, capsys):
    table = pd.read_csv(run / "table.csv").drop(columns="class")
    table = table[["dose", "colour", "age"]].assign(note="x")  # another order, another column
    table.loc[5, "colour"] = "purple"
    table["age"] = table["age"].astype(object)
    table.loc[6, "age"] = "forty"
    table.loc[7, "dose"] = np.nan
    table.to_csv(tmp_path / "new.csv", index=False)
    rows, said = labelled(tmp_path, capsys, run / "run", tmp_path / "new.csv")
    assert "note: columns not used: note" in said
    # The training table had gaps in age alone; a word there is none.
    assert "3 of 60 have no class" in said and "the first is row 5" in said
    assert [row["row"] for row in rows if not row["class"]] == ["5", "6", "7"]
    again = tmp_path / "again.csv"
    predict.main([str(run / "model.zip"), str(tmp_path / "new.csv"), f"--output={again}"])
    for ours, theirs in zip(rows, rows_of(again), strict=True):
        assert ours["class"] == theirs["class"]
        if ours["class"]:
            assert float(ours["log_density"]) == pytest.approx(
                float(theirs["log_density"]), abs=1e-2
            )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("new.csv", "age,dose\n1,2\n", "has no column 'colour': expected age, dose, colour"),
        ("new.csv", "", "cannot be read as a table"),
        ("new.csv", "age,dose,colour\n", "new.csv holds no examples"),
        ("new.txt", "age,dose\n", r"new.txt: expected one of .csv, .tsv, .parquet, .npy, or a fo"),
        ("new.npy", "no array", "new.npy: expected one array"),
        ("other.csv", None, "other.csv: no such file"),
        ("", None, "is a folder: expected vectors of 4 numbers"),
    ],
)
def test_a_file_of_another_kind_is_one_line(run, tmp_path, capsys, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SystemExit, match="2"):
        predict.main([str(run / "model.zip"), str(tmp_path / name), "--output", "none.csv"])
    said = capsys.readouterr().err
    assert said.startswith("error: ") and len(said.splitlines()) == 1
    assert re.search(message, said), said


def test_the_command_overwrites_nothing(run, capsys):
    for _ in range(2):
        try:
            predict.main([str(run / "model.zip"), str(run / "table.csv")])
        except SystemExit:
            break
    assert "table.csv.predicted.csv exists: expected the name of a new file" in (
        capsys.readouterr().err
    )
    with zipfile.ZipFile(run / "model.zip") as file:
        assert sorted(file.namelist()) == ["about.json", "program"]
