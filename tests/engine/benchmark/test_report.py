"""Tables in Markdown and JSON: the same numbers, readable."""

import json

import pytest

from engine.benchmark.report import Report, Table, format_cell
from engine.errors import StylizeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.23456, "1.23"),
        (0.00123456, "0.00123"),
        (1234.5, "1234"),
        (12, "12"),
        (None, "-"),
        ([1.0, 2.25], "1, 2.25"),
        ("a|b", "a\\|b"),
    ],
)
def test_cells(value, text):
    assert format_cell(value) == text


@pytest.fixture
def report():
    rows = [{"what": "total", "seconds": 1.5}, {"what": "floor", "seconds": None}]
    table = Table("Speed", rows, "Per picture.")
    return Report("Title", "python -m x", {"threads": 2}, [table], ["Note."], {"curve": "a.png"})


def test_markdown(report):
    assert report.markdown() == (
        "# Title\n\n```bash\npython -m x\n```\n\nNote.\n\n- threads: 2\n\n## Speed\n\n"
        "Per picture.\n\n| what | seconds |\n| --- | --- |\n| total | 1.5 |\n| floor | - |\n\n"
        "![curve](a.png)\n"
    )


def test_json_holds_every_digit(report, tmp_path):
    report.write(tmp_path / "new", "speed")
    values = json.loads((tmp_path / "new" / "speed.json").read_text("utf-8"))
    assert values["machine"] == {"threads": 2}
    assert values["tables"][0]["rows"][0] == {"what": "total", "seconds": 1.5}
    assert (tmp_path / "new" / "speed.md").read_text("utf-8") == report.markdown()


def test_a_folder_that_cannot_be_written_is_told(report, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StylizeError, match=r"cannot write speed.md into .*file.*--out"):
        report.write(tmp_path / "file", "speed")
