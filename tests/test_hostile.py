"""Hostile data and configs end in a finite result or in one line; ``hostile.py`` draws more."""

import hostile
import hostile_data
from hypothesis import given, settings


@settings(max_examples=60)
@given(arrays=hostile_data.arrays())
def test_arrays_are_taken_or_refused_in_one_line(tmp_path_factory, arrays):
    outcome = hostile_data.of_arrays(arrays, tmp_path_factory.getbasetemp())
    assert outcome in (hostile_data.TAKEN, hostile_data.REFUSED)


@settings(max_examples=40)
@given(table=hostile_data.text_tables())
def test_a_table_is_taken_or_refused_in_one_line(tmp_path_factory, table):
    outcome = hostile_data.of_table(table, tmp_path_factory.getbasetemp())
    assert outcome in (hostile_data.TAKEN, hostile_data.REFUSED)


@settings(max_examples=30)
@given(files=hostile_data.folders())
def test_a_folder_of_images_is_taken_or_refused_in_one_line(tmp_path_factory, files):
    outcome = hostile_data.of_folder(files, tmp_path_factory.getbasetemp())
    assert outcome in (hostile_data.TAKEN, hostile_data.REFUSED)


@settings(max_examples=25)
@given(overrides=hostile.overrides())
def test_a_config_is_taken_or_refused_in_one_line(overrides):
    assert hostile.of_config(overrides) in (hostile_data.TAKEN, hostile_data.REFUSED)
