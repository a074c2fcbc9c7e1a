"""What train.py and eval.py share: flags, and errors as one line."""

import difflib
import importlib.util
import inspect
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from flowgmm_jax.compilation import keep_compiled_programs
from flowgmm_jax.errors import InputError
from flowgmm_jax.runs import processes
from flowgmm_jax.runs.signals import Stopped

BAD_INPUT = 2


def load_config(spec: str) -> ConfigDict:
    """The config of ``FILE.py`` or ``FILE.py:ARGUMENT``, as the --config flag reads it.

    Raises:
      InputError: when there is no such file.
    """
    path, _, argument = spec.partition(":")
    if not Path(path).is_file() or Path(path).suffix != ".py":
        raise InputError(f"--config={path} is no config: expected a file like configs/digits.py")
    root = str(Path(path).resolve().parents[1])  # configs import each other as configs.NAME
    if root not in sys.path:
        sys.path.append(root)
    module_spec = importlib.util.spec_from_file_location("config", path)
    module = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(module)
    arguments = (argument,) if argument else ()
    try:
        inspect.signature(module.get_config).bind(*arguments)
    except (AttributeError, TypeError):
        raise InputError(
            f"--config={spec}: expected a file whose get_config takes "
            f"{'a variant' if argument else 'no argument'}"
        ) from None
    return module.get_config(*arguments)


def name_of(spec: str) -> str:
    """The name of an experiment: configs/mnist_1k.py:published is mnist_1k_published."""
    path, _, argument = spec.partition(":")
    return Path(path).stem + (f"_{argument}" if argument else "")


def check_overrides(config: ConfigDict, arguments: Sequence[str]) -> None:
    """Raises InputError for a ``--config.FIELD=`` of an unknown field, with the known ones, and for
    a second one of a tuple: the flag would take both, one behind the other."""
    tuples = {}
    for argument in arguments:
        name, _, value = argument.lstrip("-").partition("=")
        if not argument.startswith("-") or not name.startswith("config."):
            continue
        section = config
        for field in name.split(".")[1:]:
            if not isinstance(section, ConfigDict) or field not in section:
                known = sorted(section) if isinstance(section, ConfigDict) else []
                guess = difflib.get_close_matches(field, known, 1)
                hint = f"did you mean {guess[0]}? " if guess else ""
                raise InputError(f"{name} is no field: {hint}expected one of {', '.join(known)}")
            section = section[field]
        if isinstance(section, tuple):
            if name in tuples:
                raise InputError(f"{name} is {tuples[name]} and {value}, expected one of them")
            tuples[name] = value


def config_flag(default: str) -> flags.FlagHolder:
    """Defines --config, and a flag for each of its fields, after a check of those that are given.

    A bad one ends the program with one line, which ml_collections would do with a traceback.

    Args:
      default: file of the experiment when there is no --config.
    """
    arguments = sys.argv[1:]
    given = [
        argument.partition("=")[2] or following
        for argument, following in zip(arguments, [*arguments, ""][1:], strict=True)
        if argument.lstrip("-").partition("=")[0] == "config" and argument.startswith("-")
    ]
    try:
        check_overrides(load_config(given[-1] if given else default), arguments)
        return config_flags.DEFINE_config_file("config", default, "The experiment.")
    except (InputError, flags.Error) as error:
        sys.exit(_fail(error))


def run(main: Callable) -> None:
    """Parses flags and calls ``main()``; bad input ends the program with one line."""

    def guarded(argv):
        logging.set_verbosity(logging.FATAL)  # orbax tells every save at length, its errors twice
        try:
            keep_compiled_programs()
            if len(argv) > 1:
                raise InputError(f"{argv[1]!r} is not a flag: expected flags like --workdir=DIR")
            main()
        except (InputError, FloatingPointError) as error:  # which all processes raise
            sys.exit(_fail(error))
        except OSError as error:
            processes.leave(_fail(error))
        except KeyboardInterrupt:  # before or after training, when nothing is there to be saved
            print("stopped by SIGINT", file=sys.stderr)
            processes.leave(128 + signal.SIGINT)
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            sys.exit(stopped.exit_code)
        except Exception as error:
            if not processes.is_one_of_several():
                raise
            if lost := processes.lost_process(error):
                _fail(lost)
                processes.leave(processes.LOST)
            traceback.print_exc()
            processes.leave(1)

    app.run(guarded)


def _fail(error: Exception | str) -> int:
    print(f"error: {error}", file=sys.stderr)
    return BAD_INPUT
