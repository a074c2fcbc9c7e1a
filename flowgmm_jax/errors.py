"""The error of bad input, which the command line shows as one line."""


class InputError(ValueError):
    """A config field, a file or an array is not what it must be.

    The message is one line that names it, what was found and what was expected.
    """
