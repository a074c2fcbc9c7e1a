"""The directory of a run and the processes that work in it: no flows, models or data."""
