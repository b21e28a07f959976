"""Reports as one SVG picture: a panel of bars for each, readable in the light and in the dark."""

from collections.abc import Sequence
from html import escape

from gateway.bench.report import Report

WIDTH = 760
LABEL = 250
VALUE = 90
ROW = 22
HEAD = 44
GAP = 18

_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.about{fill:#59636e;font-size:12px}.name{font-weight:600}"
    ".bar{fill:#0969da}.first{fill:#8c959f}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.about{fill:#9198a1}.bar{fill:#4493f8}.first{fill:#6e7681}}"
)


def svg(reports: Sequence[Report], about: str) -> str:
    """The picture. `about`: what it was measured on."""
    parts, top = [f'<text class="about" x="0" y="14">{escape(about)}</text>'], 14 + GAP
    for report in reports:
        parts += _panel(report, top)
        top += HEAD + ROW * len(report.rows) + GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


def _panel(report: Report, top: int) -> list[str]:
    """A report's drawn column, a bar a row."""
    column = list(report.columns).index(report.drawn) if report.drawn else len(report.columns) - 1
    longest = max((float(row[column]) for row in report.rows), default=0.0) or 1.0
    title = f"{report.name}: {report.columns[column]}"
    parts = [
        f'<text class="name" x="0" y="{top + 14}">{escape(title)}</text>',
        f'<text class="about" x="0" y="{top + 31}">{escape(report.about)}</text>',
    ]
    for number, row in enumerate(report.rows):
        y = top + HEAD + ROW * number
        width = round((WIDTH - LABEL - VALUE) * float(row[column]) / longest, 1)
        label = f"{row[0]:,}" if isinstance(row[0], int) else str(row[0])
        parts += [
            f'<text x="0" y="{y + 11}">{escape(label)}</text>',
            f'<rect class="{"bar" if number else "first"}" x="{LABEL}" y="{y}" width="{width}" height="14" rx="2"/>',
            f'<text x="{LABEL + width + 6}" y="{y + 11}">{row[column]:,}</text>',
        ]
    return parts
