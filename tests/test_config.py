"""Experiments by name, by file and by variant: complete, sound, and changed field by field."""

import json
import shutil

import pytest
from ml_collections import ConfigDict

import flowgmm_jax as fg
from flowgmm_jax import config as configs
from flowgmm_jax.data import datasets
from flowgmm_jax.data.base import Info
from flowgmm_jax.validation import validate


def variants(name):
    return ["", *getattr(configs._load(configs.FOLDER / f"{name}.py"), "VARIANTS", ())]


SPECS = [
    f"{name}:{variant}" if variant else name
    for name in configs.names()
    for variant in variants(name)
]
SPECS += ["mnist_1k:ssl,published", "mnist_1k:sup,published_small"]


@pytest.fixture(autouse=True)
def a_users_own_vectors(monkeypatch):
    """Facts of the data that an experiment for a user's own vectors describes."""
    source = datasets.LOADERS["npz"]._replace(info=lambda data: Info((6,), 3, 0))
    monkeypatch.setitem(datasets.LOADERS, "npz", source)


@pytest.mark.parametrize("spec", SPECS)
def test_an_experiment_is_sound_and_builds_a_model(spec):
    config = fg.load_config(spec)
    validate(config)
    assert isinstance(fg.build(config), fg.Model)


@pytest.mark.parametrize(
    "spec", ["digits", "mnist_1k_fast:long", "mnist_1k:published", "diglm:mnist", "m1m2"]
)
def test_a_config_read_from_json_builds_a_model(spec):
    config = fg.load_config(spec)
    fg.build(ConfigDict(json.loads(config.to_json_best_effort())))


@pytest.mark.parametrize("name", configs.names())
def test_an_experiment_says_how_to_run_it(name):
    document = configs._load(configs.FOLDER / f"{name}.py").__doc__
    flag = "" if name == "digits" else f" --config={name}"
    assert f"python train.py{flag}" in document


@pytest.mark.parametrize("name", configs.names())
def test_an_experiment_is_one_file_that_can_be_read_at_once(name):
    text = (configs.FOLDER / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 90
    assert "import" not in text.replace("from ml_collections import ConfigDict", "")


def test_a_file_is_an_experiment_as_a_name_is(tmp_path):
    file = shutil.copy(configs.FOLDER / "mnist_1k.py", tmp_path / "mine.py")
    assert fg.load_config(f"{file}:ssl") == fg.load_config("mnist_1k:ssl")


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("moons", "moons"),
        ("configs/moons.py", "moons"),
        ("mnist_1k:ssl,published", "mnist_1k_ssl_published"),
        ("/elsewhere/my.config.py", "my.config"),
    ],
)
def test_a_run_is_named_after_its_experiment(spec, name):
    assert configs.run_name(spec) == name


def test_overrides_by_full_name_or_by_its_last_part():
    config = fg.load_config("moons", steps=50, data_dir="x", **{"flow.hidden": [8, 8]})
    assert (config.train.steps, config.data.data_dir, config.flow.hidden) == (50, "x", (8, 8))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"stepz": 1}, r"stepz is no field: did you mean steps\?"),
        ({"train.stepz": 1}, r"config.train.stepz is no field: did you mean steps\?"),
        ({"learning_rate": 0.1}, "ambiguous: expected one of optimizer.*, prior.learning_rate"),
        ({"steps": 1.5}, "config.train.steps is 1.5, expected an integer"),
        ({"flip": 1}, "config.augment.flip is 1, expected True or False"),
        ({"train": 1}, "config.train is a section"),
    ],
)
def test_a_bad_override_is_named(overrides, message):
    with pytest.raises(fg.InputError, match=message):
        fg.load_config("moons", **overrides)


def test_the_arguments_of_a_flow_are_those_of_its_constructor():
    config = fg.load_config("digits", **{"flow.name": "image_realnvp"})
    assert "stages" not in config.flow
    assert config.flow.blocks == 8
    assert config.flow.alpha == 0.05


def test_a_model_brings_the_section_of_its_arguments():
    assert "diglm" not in fg.load_config("moons")
    assert fg.load_config("moons", model="diglm").diglm.density_weight == 1.0
    config = fg.load_config("m1m2", **{"m1m2.hidden": "(8,)"})
    assert (config.m1m2.hidden, config.m1m2.net) == ((8,), "mlp")
    with pytest.raises(fg.InputError, match="config.model is 'vae', expected one of flowgmm, cl"):
        fg.load_config("moons", model="vae")


def test_fields_that_are_missing_or_unknown_are_refused():
    config = fg.load_config("moons")
    with config.unlocked():
        del config.train.steps
    with pytest.raises(fg.InputError, match="config.train.steps is missing"):
        validate(config)


NEW_EXPERIMENT = '''
"""Ten minutes old: digits by a small flow."""

from ml_collections import ConfigDict

VARIANTS = ("tiny",)


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.data = dict(name="digits", num_labels=50)
    config.flow = dict(name="glow", alpha=0.05, stages=((1, 1),), width=4)
    config.loss = dict(labeled="cross_entropy", marginal_weight=0.003)
    config.train = dict(steps=1 if variant == "tiny" else 100, batch_labeled=8, batch_unlabeled=8)
    return config
'''


def test_a_new_experiment_is_one_new_file(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(NEW_EXPERIMENT)
    monkeypatch.chdir(tmp_path)
    result = fg.train(fg.load_config("mine.py:tiny"), "run")
    assert result.step == 1
    assert 0 <= result.accuracy <= 100
    model, params = fg.load("run")
    assert model.log_density(params, _digits()).shape == (3,)


def _digits():
    from sklearn.datasets import load_digits

    return load_digits().images[:3, ..., None].astype("uint8")


FORMS = ["digits", "mnist_1k", "mnist_1k_fast", "fashion_mnist_1k_fast", "cifar10_4k", "svhn_1k"]


@pytest.mark.parametrize("name", FORMS)
def test_a_word_means_the_same_form_of_flowgmm_in_every_experiment(name):
    is_cons = fg.load_config(name).loss.consistency_weight > 0
    if fg.load_config(name).flow.name == "pixel_groups":
        cons = fg.load_config(f"{name}:glow")  # the forms have couplings
    else:
        cons = fg.load_config(name if is_cons else f"{name}:cons")
    ssl = fg.load_config(f"{name}:ssl" if is_cons else name)
    sup, everything = fg.load_config(f"{name}:sup"), fg.load_config(f"{name}:all")
    assert [form.loss.consistency_weight > 0 for form in (cons, ssl, sup)] == [True, False, False]
    assert [form.train.batch_unlabeled > 0 for form in (cons, ssl, sup)] == [True, True, False]
    assert cons.data == ssl.data == sup.data
    assert cons.flow == ssl.flow == sup.flow == everything.flow
    assert (everything.data.num_labels, everything.train.batch_unlabeled) == (-1, 0)
    assert everything.data.validation > 0  # for the temperature


def test_a_flow_by_its_import_path(tmp_path, monkeypatch):
    (tmp_path / "my_flows.py").write_text(
        "from flowgmm_jax import flows\n"
        "def mine(num_classes, steps=2, hidden=(4,)):\n"
        "    return flows.vector_realnvp(steps, hidden)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = fg.load_config("moons", **{"flow.name": "my_flows:mine", "flow.hidden": (8,)})
    assert set(config.flow) == {"name", "steps", "hidden"}
    assert config.flow.hidden == (8,)
    validate(config)
    assert fg.build(config).num_parameters > 0
    for name, message in [
        ("my_flows:other", "flow.name is 'my_flows:other': AttributeError: module 'my_flows' has"),
        ("no_such_module:f", "flow.name is 'no_such_module:f': ModuleNotFoundError"),
        ("vector_realnvq", "flow.name is 'vector_realnvq', expected one of .*MODULE:FUNCTION"),
    ]:
        with pytest.raises(fg.InputError, match=message):
            fg.load_config("moons", **{"flow.name": name})
