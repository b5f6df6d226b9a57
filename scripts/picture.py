#!/usr/bin/env python3
"""Draws a terminal's screen (the output of `tmux capture-pane -e -p`) as an SVG on standard output.

Python's standard library is all that it needs. Text stays text: the picture is sharp, small, and can be searched.
"""

import html
import re
import sys
from pathlib import Path

WIDTH, HEIGHT, MARGIN = 8.4, 18, 14  # of a character cell, and around the screen
BACKGROUND, FOREGROUND = "#16181d", "#d7dae0"
# The 16 colours of terminals; 30 to 37 and 90 to 97 are foregrounds, ten more are backgrounds.
COLOURS = ["#16181d", "#f2777a", "#99cc99", "#ffcc66", "#6699cc", "#cc99cc", "#66cccc", "#d7dae0",
           "#8b919e", "#f99a9c", "#b6e0b6", "#ffdf99", "#8db8e0", "#e0bbe0", "#92e0e0", "#ffffff"]


class Style:
    """The attributes that escape sequences have set so far."""

    def __init__(self) -> None:
        self.foreground, self.background, self.bold, self.dim, self.reverse = None, None, False, False, False

    def set(self, codes: list[int]) -> None:
        codes = codes or [0]
        while codes:
            code = codes.pop(0)
            if code == 0:
                self.__init__()
            elif code in (1, 2, 7):
                setattr(self, {1: "bold", 2: "dim", 7: "reverse"}[code], True)
            elif code == 22:
                self.bold = self.dim = False
            elif code == 27:
                self.reverse = False
            elif code in (38, 48):
                kind = codes.pop(0)
                colour = palette(codes.pop(0)) if kind == 5 else "#%02x%02x%02x" % tuple(codes.pop(0) for _ in range(3))
                setattr(self, "foreground" if code == 38 else "background", colour)
            elif code in (39, 49):
                setattr(self, "foreground" if code == 39 else "background", None)
            elif 30 <= code <= 37 or 90 <= code <= 97:
                self.foreground = COLOURS[code - 30 if code < 90 else code - 82]
            elif 40 <= code <= 47 or 100 <= code <= 107:
                self.background = COLOURS[code - 40 if code < 100 else code - 92]

    def colours(self) -> tuple[str, str | None]:
        foreground, background = self.foreground or FOREGROUND, self.background
        return (background or BACKGROUND, foreground) if self.reverse else (foreground, background)


def palette(number: int) -> str:
    """A colour of the 256: the 16, a cube of 216, and 24 greys."""
    if number < 16:
        return COLOURS[number]
    if number >= 232:
        return "#%02x%02x%02x" % ((8 + 10 * (number - 232),) * 3)
    steps = [0, 95, 135, 175, 215, 255]
    return "#%02x%02x%02x" % tuple(steps[(number - 16) // of % 6] for of in (36, 6, 1))


def runs(line: str, style: Style):
    """Pieces of a line, with the column of each and its style's colours."""
    column = 0
    for part in re.split(r"(\x1b\[[0-9;]*m|\x0e|\x0f)", line):
        if part.startswith("\x1b["):
            style.set([int(code) for code in part[2:-1].split(";") if code])
        elif part and part not in "\x0e\x0f":
            yield column, part, *style.colours(), style.bold, style.dim
            column += len(part)


def main() -> None:
    lines = Path(sys.argv[1]).read_text().rstrip("\n").split("\n")
    columns = max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in lines)
    size = columns * WIDTH + 2 * MARGIN, len(lines) * HEIGHT + 2 * MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]:g} {size[1]:g}" width="{size[0]:g}"'
        ' font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="14">',
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
    ]
    style = Style()
    for row, line in enumerate(lines):
        top = MARGIN + row * HEIGHT
        for column, text, foreground, background, bold, dim in runs(line, style):
            left = MARGIN + column * WIDTH
            if background:
                out.append(f'<rect x="{left:g}" y="{top}" width="{len(text) * WIDTH:g}" height="{HEIGHT}" fill="{background}"/>')
            # Each word by itself: whatever the font, columns stay where they are.
            for word in re.finditer(r"\S+", text):
                more = (' font-weight="bold"' if bold else "") + (' opacity="0.6"' if dim else "")
                out.append(
                    f'<text x="{left + word.start() * WIDTH:g}" y="{top + 13}" fill="{foreground}"{more} '
                    f'textLength="{len(word[0]) * WIDTH:g}" lengthAdjust="spacingAndGlyphs">{html.escape(word[0])}</text>'
                )
    print("\n".join([*out, "</svg>"]))


main()
