"""Experiments as configs: found by name or file, completed by defaults, changed field by field.

An experiment is a Python file whose ``get_config`` returns an ``ml_collections.ConfigDict`` with
the fields that it sets; ``configs/default.py`` has the others. ``VARIANTS`` of the file names the
words that ``get_config`` takes, joined by commas. The installed package holds the project's own.
"""

import ast
import contextlib
import difflib
import importlib.util
import reprlib
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from flowgmm_jax.errors import InputError

# In a wheel the experiments are part of the package, in a checkout they lie beside it.
_FOLDERS = (Path(__file__).parent / "configs", Path(__file__).parents[1] / "configs")
FOLDER = next((folder for folder in _FOLDERS if folder.is_dir()), _FOLDERS[0])
# A bare name of a field is looked up in these; those of ``flow`` and of a model depend on a name.
_SECTIONS = ("train", "data", "optimizer", "loss", "augment", "prior")


class Resolved(NamedTuple):
    """A complete config, and the fields that the experiment or the user set, as "train.steps"."""

    config: ConfigDict
    explicit: set[str]


def names() -> list[str]:
    """The experiments that can be named without a file."""
    return sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "default")


def run_name(spec: str) -> str:
    """The name of an experiment's run: mnist_1k:ssl,published is mnist_1k_ssl_published."""
    file, _, variant = spec.partition(":")
    return "_".join([Path(file).name.removesuffix(".py"), *filter(None, variant.split(","))])


def load_config(spec: str, **overrides: Any) -> ConfigDict:
    """The config of an experiment.

        load_config("mnist_1k:ssl", data_dir="~/data", steps=100)

    Args:
      spec: NAME, NAME:VARIANT, FILE.py or FILE.py:VARIANT; several words of a variant are joined
        by commas.
      **overrides: fields by their full name, such as ``**{"flow.width": 32}``, or by their last
        part if it is unambiguous; those of ``flow`` and of a model's section need the full name. A
        text stands for the value that it spells.

    Raises:
      InputError: for an unknown experiment, variant or field, or a value of another type; one line
        that names it, what was found and what was expected.
    """
    return resolve(spec, overrides).config


def resolve(spec: str, overrides: dict[str, Any]) -> Resolved:
    """``load_config``, with the fields that are not defaults."""
    return override(_experiment(spec), overrides)


def override(experiment: ConfigDict, overrides: dict[str, Any]) -> Resolved:
    """``resolve`` of an experiment that is no file: a config with the fields that it sets."""
    if "flow.name" in overrides:  # without the arguments of the flow that the user replaces
        arguments = _defaults_of_flow(overrides["flow.name"])
        own = experiment.get("flow", {})
        kept = {name: value for name, value in own.items() if name in arguments}
        experiment.flow = kept | {"name": overrides["flow.name"]}
    if "model" in overrides:
        with experiment.ignore_type():
            experiment.model = overrides["model"]
    config = complete(experiment)
    explicit = {name for name, _ in fields_of(experiment)}
    for name, value in overrides.items():
        name = _full_name(config, name)
        _set(config, name, value)
        explicit.add(name)
    return Resolved(config, explicit)


def complete(experiment: ConfigDict) -> ConfigDict:
    """A config with the fields of ``experiment``, and defaults for all others.

    Raises:
      InputError: for a field that is unknown or has a value of another type.
    """
    config = default_config()
    if name := experiment.get("flow", {}).get("name"):
        config.flow = _defaults_of_flow(name)
    model = experiment.get("model", config.model)
    if arguments := _defaults_of_model(model):
        config[model] = arguments
    for name, value in fields_of(experiment):
        _set(config, name, value)
    return config


def default_config() -> ConfigDict:
    """The config of ``configs/default.py``, with no flow and no section of a model."""
    return _load(FOLDER / "default.py").get_config()


def fields_of(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The fields of all sections with their values, as ("train.steps", 1000)."""
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from fields_of(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(spec)
    with _one_line(path):
        spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Names file and line of any error of a user's own Python."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__)]
        line = error.lineno if isinstance(error, SyntaxError) else lines[-1]
        reason = next(iter(str(error).splitlines()), "")
        raise InputError(f"{path}, line {line}: {type(error).__name__}: {reason}") from error


def _experiment(spec: str) -> ConfigDict:
    file, _, variant = str(spec).partition(":")
    path = Path(file) if file.endswith(".py") else FOLDER / f"{file}.py"
    if not path.is_file() or path == FOLDER / "default.py":
        raise InputError(
            f"--config={file} is no experiment: expected a file FILE.py or one of "
            f"{', '.join(names())}"
        )
    module = _load(path)
    if not hasattr(module, "get_config"):
        raise InputError(f"--config={spec}: expected a file with a function get_config")
    known = getattr(module, "VARIANTS", ())
    for word in variant.split(",") if variant else ():
        if word not in known:
            expected = f"some of {', '.join(known)}" if known else "none"
            raise InputError(f"--config={spec}: the variant is {word!r}, expected {expected}")
    with _one_line(path):
        config = module.get_config(variant) if variant else module.get_config()
    if not isinstance(config, ConfigDict):
        raise InputError(
            f"--config={spec}: get_config returned a {type(config).__name__}, expected a ConfigDict"
        )
    return config


def _defaults_of_flow(name: str) -> ConfigDict:
    from flowgmm_jax.models.build import flow_arguments  # imports JAX, which reading need not

    arguments = flow_arguments(name).items()
    return ConfigDict(
        {"name": name}
        | {key: None if value.default is value.empty else value.default for key, value in arguments}
    )


def _defaults_of_model(name: str) -> ConfigDict:
    from flowgmm_jax.models.build import model_arguments  # as above

    return ConfigDict({key: value.default for key, value in model_arguments(name).items()})


def _full_name(config: ConfigDict, name: str) -> str:
    """``train.steps`` of ``steps``."""
    if "." in name or name in config:
        return name
    found = [f"{section}.{name}" for section in _SECTIONS if name in config[section]]
    if len(found) > 1:
        raise InputError(f"{name} is ambiguous: expected one of {', '.join(found)}")
    if not found:
        known = [key for section in _SECTIONS for key in config[section]]
        raise InputError(f"{name or 'config.'} is no field: {_hint(name, known)}")
    return found[0]


def _hint(name: str, known: list[str]) -> str:
    guess = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {guess[0]}? " if guess else ""
    return f"{hint}expected one of {', '.join(sorted(known))}"


def _get(config: ConfigDict, name: str) -> Any:
    value = config
    for field in name.split("."):
        if not isinstance(value, ConfigDict) or field not in value:
            known = list(value) if isinstance(value, ConfigDict) else []
            raise InputError(f"config.{name} is no field: {_hint(field, known)}")
        value = value[field]
    if isinstance(value, ConfigDict):
        raise InputError(f"config.{name} is a section: expected one of its fields")
    return value


def _set(config: ConfigDict, name: str, value: Any) -> None:
    found = _get(config, name)
    if isinstance(value, str) and not isinstance(found, str):
        value = _parse(value, found)
    if isinstance(found, float) and type(value) is int:
        try:
            value = float(value)
        except OverflowError:
            raise InputError(f"config.{name} is larger than any number of a computer") from None
    if isinstance(found, tuple) and isinstance(value, list):
        value = tuple(value)
    if found is not None and type(value) is not type(found):
        names = {bool: "True or False", int: "an integer", float: "a number", tuple: "a tuple"}
        expected = names.get(type(found), "a text")
        raise InputError(f"config.{name} is {reprlib.repr(value)}, expected {expected}")
    *sections, field = name.split(".")
    for section in sections:
        config = config[section]
    with config.ignore_type():
        config[field] = value


def _parse(text: str, found: Any) -> Any:
    """What a text of the command line says for a field that is ``found``; else the text itself."""
    if isinstance(found, float):  # inf is no literal of Python
        with contextlib.suppress(ValueError):
            return float(text)
    try:
        return ast.literal_eval(text.capitalize() if isinstance(found, bool) else text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # of any text
        return text
