"""Settings: schedules, presets, and what they refuse."""

import json

import pytest

from engine.errors import OptionError
from engine.inversion import PRESETS, InversionSettings


def test_rate_rises_stays_and_falls():
    settings = InversionSettings(steps=100, lr=0.2, ramp_up=0.1, ramp_down=0.5)
    rates = [settings.rate_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.02) and rates[9] == rates[40] == 0.2
    assert rates[75] == pytest.approx(0.1) and rates[99] < 0.001
    plain = InversionSettings(steps=10, lr=0.2, ramp_up=0.0, ramp_down=0.0)
    assert {plain.rate_at(step) for step in range(10)} == {0.2}


def test_noise_on_the_code_is_gone_after_three_quarters():
    settings = InversionSettings(steps=100, code_noise=0.05)
    assert settings.code_noise_at(0) == 0.05
    assert settings.code_noise_at(30) == pytest.approx(0.05 * 0.6**2)
    assert settings.code_noise_at(75) == settings.code_noise_at(90) == 0


def test_presets_are_the_published_recipes():
    spaces = {name: settings.space for name, settings in PRESETS.items()}
    assert spaces == {
        "projector": "w",
        "image2stylegan": "w+",
        "v": "v",
        "v-average": "v",
        "z+": "z+",
        "indomain": "w+",
    }
    assert PRESETS["projector"].noise_weight == 1e5 and PRESETS["projector"].code_noise == 0.05
    assert PRESETS["v"].lr == 0.1 and PRESETS["v"].steps == 1000 and PRESETS["v"].optimize_noise


def test_json_roundtrip():
    settings = PRESETS["indomain"]
    assert InversionSettings.from_dict(json.loads(settings.to_json())) == settings


@pytest.mark.parametrize(
    "bad, message",
    [
        ({"space": "w++"}, r"'w\+\+'; accepted are w, w\+, z, z\+, v"),
        ({"steps": 0}, "steps is 0; accepted are whole numbers from 1"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"patience": -1}, "patience is -1"),
        ({"lr": float("nan")}, r"lr is nan; accepted are 0 \.\. inf"),
        ({"ramp_down": 1.5}, r"ramp_down is 1.5; accepted are 0 \.\. 1"),
        ({"lr": 0.0}, "nothing would be optimised"),
        ({"distance_weight": 0.0}, "nothing would be optimised"),
        ({"steps": "many"}, "steps is 'many'"),
        ({"lr": "fast"}, "no inversion settings"),
        ({"unknown": 1}, "no inversion settings"),
    ],
)
def test_refused(bad, message):
    with pytest.raises(OptionError, match=message):
        InversionSettings.from_dict(bad)
