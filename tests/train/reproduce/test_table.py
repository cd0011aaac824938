"""Orderings come from the numbers of the paper, and verdicts from ours."""

import pytest
import torch

from train.reproduce import agilegan, lu_zhou, ui2i
from train.reproduce.table import (
    Claim,
    Number,
    Table,
    mean_of,
    number,
    published_orderings,
)
from train.seen import Result


def result(value, halves=None):
    return Number(Result("fid", value, "eyes", (16,)), halves or (value, value))


def table(numbers, **more):
    rows = {row: {"FID": result(*x) if isinstance(x, tuple) else result(x)} for row, x in numbers}
    return Table(title="t", source="s", rows=rows, **more)


PAPER = {"FID": {"cat": {"a": 1.0, "b": 2.0, "c": 3.0}, "dog": {"a": 4.0, "b": 9.0, "c": 5.0}}}


def test_pairs_the_paper_itself_orders_differently_are_left_out():
    found = list(published_orderings("FID", PAPER["FID"]))
    assert found == [Claim("FID", "a", "b"), Claim("FID", "a", "c")]
    assert list(published_orderings("FID", {})) == []


def test_neighbours_of_the_ranking_come_first():
    ranked = {"all": {"x": 3.0, "y": 1.0, "z": 2.0}}
    found = [(claim.less, claim.more) for claim in published_orderings("FID", ranked)]
    assert found == [("y", "z"), ("z", "x"), ("y", "x")]


def test_verdicts_follow_our_numbers():
    ours = table([("a", 5.0), ("b", 6.0), ("c", 4.0), ("ours only", 0.0)], paper=PAPER)
    assert [(v.claim.more, v.holds, v.ours) for v in ours.verdicts()] == [
        ("b", True, (5.0, 6.0)),
        ("c", False, (5.0, 4.0)),
    ]


def test_equal_numbers_are_no_ordering():
    ours = table([("a", 5.0), ("b", 5.0)], paper=PAPER)
    assert not ours.verdicts()[0].holds


def test_rows_and_columns_we_lack_are_not_judged():
    assert table([("a", 5.0), ("c", 6.0)], paper=PAPER).verdicts()[0].claim.more == "c"
    assert table([("a", 5.0)], paper=PAPER).verdicts() == []
    assert table([("a", 5.0), ("b", 6.0)], claims=[Claim("KID", "a", "b")]).verdicts() == []


def test_a_proxy_is_judged_by_the_published_column():
    rows = {"a": {"KID": result(2.0)}, "b": {"KID": result(1.0)}}
    ours = Table("t", "s", rows, paper=PAPER, proxies={"KID": "FID"})
    assert [(v.claim, v.holds) for v in ours.verdicts()] == [(Claim("KID", "a", "b"), False)]


def test_halves_that_disagree_are_told():
    ours = table([("a", (5.0, (4.0, 6.0))), ("b", (6.0, (7.0, 5.0))), ("c", 9.0)], paper=PAPER)
    assert [(v.holds, v.clear) for v in ours.verdicts()] == [(True, False), (True, True)]
    ours = table([("a", (7.0, (8.0, 6.0))), ("b", (6.0, (5.0, 7.0))), ("c", 1.0)], paper=PAPER)
    assert [(v.holds, v.clear) for v in ours.verdicts()] == [(False, False), (False, True)]


def test_halves_are_every_second_picture():
    values = torch.tensor([1.0, 10.0, 3.0, 30.0])
    found = mean_of("l2", values)
    assert (found.value, found.halves, found.result.name) == (11.0, (2.0, 20.0), "l2_4")
    found = number("fid", "eyes", (4, 9), lambda rows: len(values[rows]))
    assert (found.value, found.halves, found.result.name) == (4, (2, 2), "fid_eyes_4x9")


def test_a_reason_is_given_only_where_the_order_fails():
    reasons = {Claim("FID", "a", "b"): "too few steps"}
    held = table([("a", 1.0), ("b", 2.0)], paper=PAPER, reasons=reasons)
    failed = table([("a", 2.0), ("b", 1.0)], paper=PAPER, reasons=reasons)
    assert held.verdicts()[0].reason == "" and failed.verdicts()[0].reason == "too few steps"


@pytest.mark.parametrize(
    ("rows", "count"),
    [(ui2i.TABLE_1, 6), (lu_zhou.FID_4, 5), (lu_zhou.DISTANCE_4, 5), (lu_zhou.FID_5, 5)],
)
def test_published_rows_are_complete(rows, count):
    assert {len(numbers) for numbers in rows.values()} == {count}


def test_published_numbers_are_those_of_the_papers(shared):
    """Every number stands in the text of its paper, in its row."""

    def lines(file):
        text = (shared / "papers" / file).read_text()
        return [line.replace("|", " ").split() for line in text.splitlines()]

    ui2i_lines, paired_lines = (
        lines("ui2i-stylegan2-2021.txt"),
        lines("semantic-pseudo-paired-2025.txt"),
    )
    for row, numbers in ui2i.TABLE_1.items():
        wanted = [*row.split(), *(f"{x:.3f}" for x in numbers)]
        assert wanted in ui2i_lines, row
    printed = {token for line in ui2i_lines for token in line}
    assert {f"{x:.3f}" for x in ui2i.TABLE_3.values()} <= printed
    for i, name in enumerate(lu_zhou.DATA_SETS):
        for fid, distance in (
            (lu_zhou.FID_4, lu_zhou.DISTANCE_4),
            (lu_zhou.FID_5, lu_zhou.DISTANCE_5),
        ):
            wanted = [x for row in fid for x in (fid[row][i], distance[row][i])]
            found = [
                [float(x) for x in line[1:]]
                for line in paired_lines
                if line[:1] == [name] and len(line) == 9
            ]
            assert wanted in found, name
    agile = " ".join(" ".join(line) for line in lines("agilegan-2021.txt"))
    assert " ".join(f"{x}" for x in agilegan.TABLE_2.values()) == "64.7 69.0 78.6 71.9 74.7"
    assert "64.7 69.0 78.6 71.9 74.7" in agile
