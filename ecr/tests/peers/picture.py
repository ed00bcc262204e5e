"""The picture of a first minute in the README: `picture.py` runs the commands in a terminal, and draws what is there as an SVG."""

import html
import pathlib
import re

import pyte

from peers import ROOT, Workspace
from test_terminal import Terminal

PICTURE = ROOT / "ecr/docs/pictures/terminal.svg"
COMMANDS = ["push --local --create", "push --local", "ecr images --local"]
COLUMNS = 100
# The size of a character in pixels, and the margin.
WIDTH, HEIGHT, MARGIN = 8.43, 19, 16
# Colours that can be told apart on a dark ground, by the names that pyte has.
COLOURS = {"default": "#d4d4d4", "green": "#6cc070", "cyan": "#5fb3d4", "red": "#e06c75", "brown": "#d7ba7d", "blue": "#6f9fe0"}


def screen():
    """The terminal after the commands."""
    workspace = Workspace()
    shown = pyte.Screen(COLUMNS, 60)
    stream = pyte.Stream(shown)
    for command in COMMANDS:
        stream.feed(f"\x1b[1m$ cargo xtask {command}\x1b[0m\r\n")
        terminal = Terminal(workspace, *command.split(), columns=COLUMNS, rows=60)
        code = terminal.end()
        assert code == 0, terminal.seen
        # Whether cargo waits for another cargo is a matter of the machine.
        seen = "".join(it for it in terminal.seen.splitlines(keepends=True) if "Blocking" not in it)
        stream.feed(seen.replace(str(workspace.root), "/work") + "\r\n")
    return shown


def runs(line):
    """The parts of a line that look alike: text, colour, whether it is bold."""
    parts = []
    for n in range(COLUMNS):
        cell = line[n]
        look = (cell.fg, cell.bold)
        if parts and parts[-1][1:] == look:
            parts[-1] = (parts[-1][0] + cell.data, *look)
        else:
            parts.append((cell.data, *look))
    return parts


def draw(shown):
    last = max(n for n, line in enumerate(shown.display) if line.strip())
    width, height = COLUMNS * WIDTH + 2 * MARGIN, (last + 1) * HEIGHT + 2 * MARGIN
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-family="monospace" font-size="14">',
             "<title>cargo xtask push --local --create in a terminal</title>",
             '<rect width="100%" height="100%" rx="8" fill="#1e1e1e"/>']
    for row in range(last + 1):
        column, y = 0, MARGIN + (row + 0.75) * HEIGHT
        for text, colour, is_bold in runs(shown.buffer[row]):
            if text.strip():
                x = MARGIN + (column + len(text) - len(text.lstrip())) * WIDTH
                kept = text.strip()
                weight = ' font-weight="bold"' if is_bold else ""
                # The length holds the columns, whatever the font.
                lines.append(f'<text x="{x:.1f}" y="{y:.1f}" fill="{COLOURS.get(colour, COLOURS["default"])}"{weight} xml:space="preserve" '
                             f'textLength="{len(kept) * WIDTH:.1f}">{html.escape(kept)}</text>')
            column += len(text)
    return "\n".join(lines) + "\n</svg>\n"


def words(svg):
    """The words of a picture, without digests, sizes and times, which differ between machines."""
    text = " ".join(re.findall(r">([^<]+)</text>", svg))
    text = re.sub(r"\b[0-9a-f]{12,}\b|\d+(\.\d+)?|\b[kM]B\b", "0", html.unescape(text))
    return sorted(set(re.findall(r"[A-Za-z][\w-]*", text)))


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(screen()))
