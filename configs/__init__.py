"""Experiments: a file's docstring says what it reproduces, with which command, and the result."""
