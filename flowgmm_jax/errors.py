"""Errors that people can mend, as one line."""

import importlib.util


class InputError(ValueError):
    """A config field, a file or an array is not what it must be.

    The message is one line that names it, what was found and what was expected.
    """


def first_line(error: Exception) -> str:
    """What an error says, in one line; its type if it says nothing."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def require(module: str, extra: str) -> None:
    """Raises ModuleNotFoundError, naming the extra of this package, if a module is not there."""
    if importlib.util.find_spec(module) is None:
        raise ModuleNotFoundError(f'{module} is missing: pip install "flowgmm_jax[{extra}]"')
