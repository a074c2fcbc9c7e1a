"""What is imported, and when."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

import flowgmm_jax as fg

ROOT = Path(__file__).parents[1]
LATE = {"orbax", "grain", "PIL", "matplotlib", "sklearn", "tensorflow"}


@pytest.mark.parametrize(
    ("statement", "late"),
    [
        ("import flowgmm_jax", LATE | {"jax", "flax"}),
        ("import flowgmm_jax; flowgmm_jax.load_config", LATE | {"jax", "flax"}),
        ("import flowgmm_jax; flowgmm_jax.flows, flowgmm_jax.losses, flowgmm_jax.density", LATE),
        ("import flowgmm_jax; flowgmm_jax.build(flowgmm_jax.load_config('moons'))", LATE),
    ],
)
def test_what_is_not_needed_is_not_imported(statement, late):
    code = f"{statement}; import sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert late & set(done.stdout.split()) == set()


@pytest.mark.parametrize("name", fg.__all__)
def test_public_names_are_there(name):
    assert name in dir(fg)
    assert getattr(fg, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'flow'"):
        fg.flow()


def test_the_version_is_that_of_the_installed_package():
    assert fg.__version__ == importlib.metadata.version("flowgmm_jax")


def test_the_citation_names_this_version():
    assert f"\nversion: {fg.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {fg.__version__}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_type_checkers_find_the_types():
    assert (Path(fg.__file__).parent / "py.typed").exists()
