"""The picture of the results: one SVG file that says what the tables say."""

from xml.etree import ElementTree as ET

from gateway.bench.chart import svg
from gateway.bench.report import Report

SVG = "{http://www.w3.org/2000/svg}"

ROWS = [["bare", 9000, 1.0], ["gateway", 4500, 0.5]]
SPEED = Report("accept", "orders & more", ["what", "events/s", "ratio"], ROWS, {}, drawn="ratio")
GROWTH = Report("growth", "events", ["events", "events/s"], [[1000, 50.0], [2000, 100.0], [3000, 0]], {})


def test_each_report_is_a_panel_with_a_bar_for_each_row() -> None:
    picture = ET.fromstring(svg([SPEED, GROWTH], "2 cores"))  # noqa: S314  our own text

    texts = [text.text for text in picture.iter(f"{SVG}text")]
    assert texts[:3] == ["2 cores", "accept: ratio", "orders & more"]
    assert texts[3:7] == ["bare", "1.0", "gateway", "0.5"]
    assert "growth: events/s" in texts
    assert "1,000" in texts
    bars = [float(bar.attrib["width"]) for bar in picture.iter(f"{SVG}rect")]
    assert bars[0] == 2 * bars[1]
    assert bars[2:] == [bars[0] / 2, bars[0], 0.0]


def test_the_picture_is_as_high_as_its_panels() -> None:
    picture = ET.fromstring(svg([SPEED, GROWTH], ""))  # noqa: S314  our own text

    lowest = max(float(bar.attrib["y"]) + 14 for bar in picture.iter(f"{SVG}rect"))
    assert lowest < float(picture.attrib["height"]) < lowest + 40


def test_a_report_without_rows_is_drawn_too() -> None:
    assert "idle" in svg([Report("idle", "nothing", ["process", "share"], [], {})], "")
