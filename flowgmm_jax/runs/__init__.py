"""The directory of a run, and the processes that work in it; independent of models and data."""
