"""What train.py and eval.py share: flags of a config, and errors as one line."""

import collections
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

from absl import app, logging
from rich.console import Console
from rich.text import Text

from flowgmm_jax import config as configs
from flowgmm_jax.compilation import keep_compiled_programs
from flowgmm_jax.errors import InputError
from flowgmm_jax.runs import processes
from flowgmm_jax.runs.signals import Stopped

BAD_INPUT = 2
PREFIX = "config."

Overrides = Sequence[tuple[str, str]]


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], Overrides]:
    """Divides arguments into those for absl and the (FIELD, VALUE) of ``--config.FIELD=VALUE``.

    A value may follow as an argument of its own; ``--config.FIELD`` without one is True.
    """
    rest, overrides = [], []
    pending = collections.deque(arguments)
    while pending:
        argument = pending.popleft()
        name, has_value, value = argument.lstrip("-").partition("=")
        if not argument.startswith("-") or not name.startswith(PREFIX):
            rest.append(argument)
            continue
        if not has_value:
            value = pending.popleft() if pending and not pending[0].startswith("--") else "True"
        overrides.append((name.removeprefix(PREFIX), value))
    return rest, overrides


def resolve(spec: str, overrides: Overrides) -> configs.Resolved:
    """The config of an experiment with overrides as texts, see ``config.load_config``.

    Raises:
      InputError: as there, and for a field that is given twice.
    """
    values = {}
    for name, text in overrides:
        if name in values:
            raise InputError(f"config.{name} is {values[name]} and {text}, expected one of them")
        values[name] = text
    return configs.resolve(spec, values)


def print_config(resolved: configs.Resolved) -> None:
    """Prints every field as ``config.FIELD = VALUE``, those that are defaults greyed."""
    console = Console(highlight=False, soft_wrap=True)
    for name, value in configs.fields_of(resolved.config):
        style = "" if name in resolved.explicit else "dim"
        console.print(Text(f"{PREFIX}{name} = {value!r}", style=style))


def run(main: Callable[[Overrides], None]) -> None:
    """Parses flags and calls ``main``; bad input ends the program with one line.

    Args:
      main: is given the overrides of a config on the command line, see ``resolve``.
    """
    overrides: Overrides = ()

    def parse(arguments):
        nonlocal overrides
        rest, overrides = split_overrides(arguments)
        return app.parse_flags_with_usage(rest)

    def guarded(argv):
        logging.set_verbosity(logging.FATAL)  # orbax logs every save at length, its errors twice
        try:
            keep_compiled_programs()
            if len(argv) > 1:
                raise InputError(f"{argv[1]!r} is not a flag: expected flags like --workdir=DIR")
            main(overrides)
        except (InputError, FloatingPointError) as error:  # which all processes raise
            sys.exit(_fail(error))
        except OSError as error:
            processes.leave(_fail(error))
        except KeyboardInterrupt:  # before or after training, when there is nothing to save
            print("stopped by SIGINT", file=sys.stderr)
            processes.leave(128 + signal.SIGINT)
        except Stopped as stopped:
            print(stopped, file=sys.stderr)
            sys.exit(stopped.exit_code)
        except Exception as error:
            if is_out_of_memory(error):
                _fail(
                    "out of memory: expected smaller config.train.batch_* or a smaller config.flow"
                )
                processes.leave(BAD_INPUT)
            if not processes.is_one_of_several():
                raise
            if lost := processes.lost_process(error):
                _fail(lost)
                processes.leave(processes.LOST)
            traceback.print_exc()
            processes.leave(1)

    app.run(guarded, flags_parser=parse)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error of Python, numpy or JAX says that there is not enough memory."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def _fail(error: Exception | str) -> int:
    print(f"error: {error}", file=sys.stderr)
    return BAD_INPUT
