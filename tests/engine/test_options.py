"""Options: one dataclass from which flags, sliders and JSON derive."""

import argparse

import pytest

from engine.errors import OptionError
from engine.options import StylizeOptions


def parse(*words: str) -> StylizeOptions:
    parser = argparse.ArgumentParser()
    StylizeOptions.add_arguments(parser)
    return StylizeOptions.from_arguments(parser.parse_args(words))


def test_defaults_and_json_round_trip():
    options = StylizeOptions()
    assert options.strength == 1 and options.faces == "all" and options.whole_photo
    assert StylizeOptions.from_dict(options.to_dict()) == options


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"strength": 2}, "strength is 2; it must be a number from 0.0 to 1.0"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"strength": "1"}, "strength is '1'"),
        ({"seed": 1.5}, "whole number"),
        ({"seed": True}, "seed is True"),
        ({"samples": 17}, "from 1 to 16"),
        ({"color": "red"}, "one of style, keep"),
        ({"faces": "most"}, "all, largest, or numbers"),
        ({"faces": "-1"}, "faces is '-1'"),
        ({"whole_photo": 1}, "true or false"),
        ({"attribute": ""}, "attribute is ''"),
        ({"edits": "age"}, "edits has 'age'; accepted is DIRECTION:AMOUNT"),
        ({"edits": "0:1@5-2"}, "edits has '0:1@5-2'"),
        ({"variation_steps": "17:2"}, "variation_steps has '17:2'; accepted is NUMBER:SHARE"),
        ({"strenght": 1}, "unknown option 'strenght'"),
    ],
)
def test_bad_values_say_what_is_accepted(values, words):
    with pytest.raises(OptionError) as error:
        StylizeOptions.from_dict(values)
    assert words in str(error.value)


def test_json_numbers_become_the_type_of_the_option():
    options = StylizeOptions.from_dict({"strength": 1, "seed": 3.0})
    assert isinstance(options.strength, float) and isinstance(options.seed, int)


def test_selection_of_faces():
    assert StylizeOptions().select(3) == [0, 1, 2]
    assert StylizeOptions(faces="largest").select(3) == [0]
    assert StylizeOptions(faces="largest").select(0) == []
    assert StylizeOptions(faces="2,0,2,9").select(3) == [2, 0]


def test_edits_are_a_list_of_steps():
    assert StylizeOptions().list_edits() == []
    edits = StylizeOptions(edits="0:-2.5@0-3, 4:1").list_edits()
    assert edits == [(0, -2.5, range(4)), (4, 1.0, None)]


def test_every_option_has_a_flag():
    options = parse(
        *("--strength", "0.5", "--truncation-psi", "0.7", "--likeness", "0.25", "--seed", "9"),
        *("--samples", "4"),
        *("--attribute", "old", "--faces", "0,1", "--no-whole-photo", "--color", "keep"),
        *("--surroundings", "0.5", "--around", "toned", "--output-size", "512"),
    )
    expected = (0.5, 0.7, 0.25, 9, 4, "old", "0,1", False, 0.5, "toned", "keep", 512)
    assert options == StylizeOptions(*expected)


def test_flags_left_out_take_the_defaults_of_the_style():
    parser = argparse.ArgumentParser()
    StylizeOptions.add_arguments(parser)
    arguments = parser.parse_args(["--seed", "4"])
    style = StylizeOptions(strength=0.8, attribute="old")
    expected = StylizeOptions(strength=0.8, attribute="old", seed=4)
    assert StylizeOptions.from_arguments(arguments, style) == expected


def test_description_has_what_a_slider_needs():
    described = StylizeOptions.describe()
    strength = described["strength"]
    assert (strength.minimum, strength.maximum, strength.step) == (0, 1, 0.05)
    assert described["color"].choices == ("style", "keep", "skin")
    assert described["attribute"].kind == "str" and described["attribute"].default is None
    assert all(option.help and option.label for option in described.values())
