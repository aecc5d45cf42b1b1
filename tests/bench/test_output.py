"""What people see: the table and the picture."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from zmqgossip.bench import plot, table
from zmqgossip.cli import bench_output

MACHINE = {"zmqgossip": "1", "cpus": 2}
GOODPUT = {
    "kind": "goodput",
    "peers": 8,
    "size": 64,
    "degree": 5.5,
    "systems": {
        "zmqgossip": {"goodput": 123456, "lost": 0, "duplicates": 0, "cpu_s_per_million": 2.5, "spread": 0.1},
        "raw <&>": {"goodput": 61728, "lost": 0, "duplicates": 0, "cpu_s_per_million": None, "spread": 0.1},
    },
    "ratios": {"raw <&>": 2.0},
    "machine": MACHINE,
}
STALL = {
    "kind": "stall",
    "peers": 8,
    "seconds": 60,
    "sizes": {"64": {"stopped_3_s": {"lost": 0, "right": True, "timeline": {"others": [[0.5, 10], [1.0, 20]]}}}},
    "machine": MACHINE,
}
ACCOUNT = {"expected": 10, "lost": 1, "duplicates": 0, "out_of_order": 0}
CHURN = {
    "kind": "churn",
    "peers": 30,
    "size": 64,
    "killed": 5,
    "joined": 5,
    "survivors": ACCOUNT,
    "joiners_at_survivors": ACCOUNT,
    "survivors_at_joiners": ACCOUNT,
    "machine": MACHINE,
}


def test_a_table_has_a_row_a_system() -> None:
    heading, machine, _, head, ours, raw = bench_output.lines(GOODPUT)
    assert heading == "goodput: 8 processes, 64 bytes, 5.5 links a peer"
    assert machine == "zmqgossip 1, cpus 2"
    assert head.split()[:2] == ["system", "messages/s"]
    assert ours.split() == ["zmqgossip", "123,456", "0", "0", "2.5", "0.1"]
    assert raw.split()[-6:] == ["-", "0.1", "2", "x", "raw", "<&>"]
    assert head.endswith("zmqgossip's messages/s (more is better)")


def test_a_stall_and_a_churn_have_a_column_a_situation() -> None:
    lines = bench_output.lines(STALL)
    assert [line.split() for line in lines[3:]] == [["stopped", "3", "s", "64"], ["lost", "0"], ["right", "yes"]]
    assert bench_output.lines(CHURN)[0] == "churn: 30 processes, 64 bytes, 5 killed and 5 joined"


def test_a_ratio_says_to_what_it_is_and_each_percentile_has_its_own() -> None:
    assert table.times(1.25, "raw") == "1.25 x raw"
    assert table.times({"p50": 1.25, "p99": 0.5}, "raw") == "p50 1.25 x raw, p99 0.5 x raw"
    assert table.times(None, "raw") == ""


def test_pictures_are_xml_with_a_shape_a_figure() -> None:
    for document in (GOODPUT, STALL, CHURN):
        assert ElementTree.fromstring(bench_output.picture(document)).tag.endswith("svg")
    shapes = bench_output.picture(GOODPUT)
    assert shapes.count("<rect") == 1 + 3  # the page, two rates, and the CPU of the one that has it
    assert bench_output.picture(STALL).count("<polyline") == 1
    assert ElementTree.fromstring(plot.lines("nothing", {}, "x", "y")).tag.endswith("svg")


def test_lines_that_are_the_same_are_drawn_once_and_both_named_in_its_colour() -> None:
    drawn = plot.lines("three", {"a": [(0, 0), (1, 1)], "b": [(0, 0), (1, 1)], "c": [(0, 1), (1, 0)]}, "x", "y")
    assert drawn.count("<polyline") == 2
    names = [line for name in ("a", "= b", "c") for line in drawn.splitlines() if line.endswith(f">{name}</text>")]
    colours = [line.split('fill="')[1].split('"')[0] for line in names]
    assert len(colours) == 3 and colours[0] == colours[1] != colours[2]


def test_figures_over_decades_are_drawn_by_their_logarithm_where_that_is_wanted() -> None:
    def middle(decades: bool, most: float) -> float:
        drawn = plot.lines("", {"a": [(10, 0), (100, 1), (most, 2)]}, "x", "y", decades=decades)
        assert f">{table.text(most)}</text>" in drawn
        return float(drawn.split('<polyline points="')[1].split('"')[0].split()[1].split(",")[0])

    width = plot.WIDTH - plot.CHART_LEFT - 30
    assert middle(True, 1000.0) == plot.CHART_LEFT + width / 2
    assert middle(True, 400.0) == plot.CHART_LEFT + width / 4  # that is no such range
    assert middle(False, 1000.0) == plot.CHART_LEFT + width / 10


@pytest.mark.parametrize(("most", "ticks"), [(100.0, ["0", "20", "100"]), (8.0, ["0", "2", "8"]), (0.7, ["0", "0.1", "0.7"])])
def test_both_axes_have_round_figures(most: float, ticks: list[str]) -> None:
    drawn = plot.lines("", {"a": [(0, 0), (most, most)]}, "x", "y")
    assert all(drawn.count(f">{tick}</text>") == 2 for tick in ticks)
