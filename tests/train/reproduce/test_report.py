"""The report: a Markdown table with both papers' and our numbers, and JSON of the same."""

import json

from train.measures import Result
from train.reproduce.report import Report, command
from train.reproduce.settings import Settings
from train.reproduce.table import Number, Table


def report(docs):
    rows = {
        "a": {"FID": Number(Result("fid", 12.34, "squeezenet", (8, 9)), (12.0, 13.0))},
        "b": {"FID": Number(Result("fid", 10.0, "squeezenet", (8, 9)), (9.0, 14.0))},
    }
    paper = {"FID": {"cat": {"a": 1.5, "b": 2.5}, "dog": {"a": 3.5, "b": 4.5}}}
    table = Table("What", "Nobody 2021, Table 9", rows, paper, figure=("x.jpg", "Rows: all."))
    parts = [{"name": "ft", "recipe": "train.transfer", "images": 8}]
    settings = Settings(docs=str(docs), budget=8)
    return Report("ui2i", "Title.\n\nText of it.\n", settings, parts, "abacus", [table])


def test_markdown_has_both_numbers_and_the_verdict(tmp_path):
    lines = list(report(tmp_path).markdown())
    assert lines[0] == "# Title." and "Text of it." in lines
    assert "|  | FID | paper: FID (cat / dog) |" in lines
    assert "| a | 12.34 | 1.5 / 3.5 |" in lines
    assert "- FID: `fid_squeezenet_8x9`" in lines
    assert "**0 of 1 orderings of the paper hold.**" in lines
    said = (
        "- FID: a < b does **not** hold, and one half of the pictures says otherwise (12.34 > 10)."
    )
    assert said in lines
    assert "![What](x.jpg)" in lines and "| ft | train.transfer | 8 |" in lines
    assert any("abacus" in line and "Seed 0" in line for line in lines)


def test_files_say_the_same(tmp_path):
    markdown, values = report(tmp_path).save()
    assert markdown.read_text("utf-8").startswith("# Title.")
    document = json.loads(values.read_text("utf-8"))
    assert document["settings"]["budget"] == 8 and document["machine"] == "abacus"
    assert str(tmp_path) not in values.read_text("utf-8")  # nothing of this machine
    first = document["tables"][0]
    assert first["rows"]["a"]["FID"]["name"] == "fid_squeezenet_8x9"
    assert first["rows"]["b"]["FID"]["halves"] == [9.0, 14.0]
    assert first["orderings"][0]["holds"] is False


def test_the_command_repeats_what_was_chosen():
    assert command("ui2i", Settings(out="elsewhere")) == "python -m train.reproduce ui2i"
    chosen = command("ui2i", Settings(budget=8, style="oil"))
    assert chosen == "python -m train.reproduce ui2i --style oil --budget 8"
