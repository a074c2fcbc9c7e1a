"""Hostile data and configs end in a finite result or in one line; ``hostile.py`` draws more."""

import hostile
from hypothesis import given, settings


@settings(max_examples=60)
@given(arrays=hostile.arrays())
def test_data_are_taken_or_refused_in_one_line(tmp_path_factory, arrays):
    outcome = hostile.of_data(arrays, tmp_path_factory.getbasetemp())
    assert outcome in (hostile.TAKEN, hostile.REFUSED)


@settings(max_examples=25)
@given(overrides=hostile.overrides())
def test_a_config_is_taken_or_refused_in_one_line(overrides):
    assert hostile.of_config(overrides) in (hostile.TAKEN, hostile.REFUSED)
