"""A newcomer's first session, as a terminal of 80x24 and of 120x40 shows it. pyte draws the screen. `UPDATE_SESSION=1` writes the
snapshots anew."""

import itertools
import os
import pathlib
import re
import unittest

import pyte

import picture
from peers import Workspace
from test_terminal import Terminal

SNAPSHOTS = pathlib.Path(__file__).resolve().parent / "session"
# The commands, each with what is typed at its question.
SESSION = [
    ("push --local --create", None),
    ("push --local", None),
    ("ecr plan --local", None),
    ("ecr status --local", None),
    ("ecr images --local", None),
    ("ecr list --local", None),
    ("push my-app", None),
    ("ecr delete --local", "no"),
    ("push -h", None),
    ("ecr --help", None),
]


def settled(text):
    """The output without what differs between runs, in the same number of columns."""
    text = re.sub(r"\b[0-9a-f]{64}\b", "d" * 64, text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "d" * 12, text)
    text = re.sub(r"\d+\.\d\d ?s\b", lambda it: re.sub(r"\d", "0", it.group())[-5:], text)
    text = re.sub(r"\d+\.\d [kM]B", lambda it: re.sub(r"\d", "0", it.group()), text)
    text = re.sub(r"(engine +)[^\r\n]*", r"\1docker 28.2.2", text)
    text = re.sub(r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:4510", text)
    # What cargo says of itself comes when it comes, and services are delivered side by side.
    lines = [it for it in text.split("\r\n") if not re.search("Blocking|Finished.*`release`", it)]
    # The progress line is drawn over.
    lines = [re.sub(r"\r[^\r]*?\x1b\[K", "", it) for it in lines]
    plain = lambda it: re.sub(r"\x1b\[[0-9;]*[mK]", "", it)
    verb = lambda it: plain(it)[:12].strip()
    ordered = []
    stages = {"Created": 1, "Compiling": 2, "Pushed": 2, "Unchanged": 2}
    for stage, group in itertools.groupby(lines, lambda it: stages.get(verb(it))):
        ordered += sorted(group, key=plain) if stage else group
    return "\r\n".join(ordered)


def session(columns, rows):
    """Everything that was on the screen, from the first line on."""
    workspace = Workspace()
    screen = pyte.HistoryScreen(columns, rows, history=1000)
    stream = pyte.Stream(screen)
    for command, answer in SESSION:
        stream.feed(f"$ cargo xtask {command}\r\n")
        terminal = Terminal(workspace, *command.split(), columns=columns, rows=rows)
        if answer:
            terminal.until("Type ")
            terminal.type(answer)
        code = terminal.end()
        output = settled(terminal.seen.replace(str(workspace.root), "/work"))
        stream.feed(output + f"[exit {code}]\r\n\r\n")
    lines = ["".join(line[n].data for n in range(columns)) for line in screen.history.top] + screen.display
    return "\n".join(it.rstrip() for it in lines).rstrip() + "\n"


class Session(unittest.TestCase):
    maxDiff = None

    def test_each_size(self):
        for columns, rows in ((80, 24), (120, 40)):
            with self.subTest(columns=columns):
                path = SNAPSHOTS / f"{columns}x{rows}.txt"
                shown = session(columns, rows)
                if os.environ.get("UPDATE_SESSION"):
                    path.parent.mkdir(exist_ok=True)
                    path.write_text(shown)
                self.assertEqual(shown, path.read_text())

    def test_picture_is_of_this_version(self):
        """`picture.py` draws it anew."""
        self.assertEqual(picture.words(picture.draw(picture.screen())), picture.words(picture.PICTURE.read_text()))


if __name__ == "__main__":
    unittest.main()
