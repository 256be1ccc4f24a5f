"""Lines of spans as an SVG that is readable on light and on dark pages."""

from __future__ import annotations

from xml.sax.saxutils import escape

from abridge import Line, Style

CELL, LEADING, SIZE, EDGE = 7.8, 18, 13, 16
"""Of one character, in pixels: width, distance of lines, font size; and the margin around all."""

LIGHT: dict[str, str] = {
    "page": "#fbfbfa", "frame": "#d9d9d4", "plain": "#24292f", "faint": "#66707a", "strong": "#111418",
    "caption": "#6b3fa0", "bar": "#b9bec4", "good": "#1a7f37", "bad": "#cf222e",
    "request": "#0a5fd0", "notice": "#0a5fd0", "question": "#9a5b00", "answer": "#00707a", "result": "#1a7f37",
    "error": "#cf222e",
}  # fmt: skip
DARK: dict[str, str] = {
    "page": "#14171c", "frame": "#30363d", "plain": "#d5dae0", "faint": "#8b949e", "strong": "#ffffff",
    "caption": "#c8a6ff", "bar": "#4b535d", "good": "#4ac26b", "bad": "#ff7b72",
    "request": "#6cb0ff", "notice": "#6cb0ff", "question": "#f0b03f", "answer": "#4fd1d9", "result": "#4ac26b",
    "error": "#ff7b72",
}  # fmt: skip
BOLD: tuple[Style, ...] = ("strong", "request", "question", "answer", "result", "error", "bad")


def picture(lines: list[Line], title: str) -> str:
    columns = max(sum(len(text) for text, _ in line) for line in lines)
    width, height = round(columns * CELL + 2 * EDGE), round(len(lines) * LEADING + 2 * EDGE)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"',
        'role="img" aria-labelledby="title">',
        f'<title id="title">{escape(title)}</title>',
        f"<style>{_style()}</style>",
        f'<rect class="page" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>',
    ]
    for row, line in enumerate(lines):
        parts += _line(line, EDGE + row * LEADING)
    return "\n".join([*parts, "</svg>", ""])


def _style() -> str:
    def colours(of: dict[str, str]) -> str:
        rules = [f".page{{fill:{of['page']};stroke:{of['frame']}}}"]
        rules += [f".{name}{{fill:{colour}}}" for name, colour in of.items() if name not in ("page", "frame")]
        return "".join(rules)

    text = (
        f"text{{font:{SIZE}px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}}"
    )
    bold = ",".join(f".{name}" for name in BOLD)
    weight = f"{bold}{{font-weight:600}}.caption{{font-style:italic}}"
    return f"{text}{colours(LIGHT)}{weight}@media(prefers-color-scheme:dark){{{colours(DARK)}}}"


def _line(line: Line, top: float) -> list[str]:
    parts: list[str] = []
    column = 0
    for text, style in line:
        inner = text.strip(" ")
        x = EDGE + (column + len(text) - len(text.lstrip(" "))) * CELL
        column += len(text)
        if not inner:
            continue
        if set(inner) == {"━"}:
            middle = top + LEADING / 2
            parts.append(f'<rect class="bar" x="{x:.1f}" y="{middle}" width="{len(inner) * CELL:.1f}" height="1"/>')
        elif inner == "┃":
            parts.append(f'<rect class="bar" x="{x + CELL / 2 - 1:.1f}" y="{top}" width="2" height="{LEADING}"/>')
        else:
            # The length is stated, so that every font keeps the columns.
            length = f'textLength="{len(inner) * CELL:.1f}" lengthAdjust="spacingAndGlyphs"'
            baseline = top + LEADING * 0.72
            parts.append(f'<text class="{style}" x="{x:.1f}" y="{baseline:.1f}" {length}>{escape(inner)}</text>')
    return parts
