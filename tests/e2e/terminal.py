# SPDX-License-Identifier: GPL-3.0-or-later
"""A terminal that a test looks at: a program in a pseudo-terminal, and what its screen shows (TERM=linux)."""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import termios
import time

CONTROL = re.compile(r"\x1b(?:\[([?>]?)([\d;]*)([@-~])|[()]([A-Z0-9])|([=>78MDEc])|\](?:[^\x07\x1b]*)(?:\x07|\x1b\\))")
UNFINISHED = re.compile(r"\x1b(?:\[[?>]?[\d;]*|[()]?|\][^\x07\x1b]*)$")


def shown_by(command, *streams):
    """(exit status, bytes) of a program that writes to a terminal, which these of its stdin, stdout and stderr are."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, **{name: theirs if name in streams else subprocess.DEVNULL for name in ("stdin", "stdout", "stderr")})
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while select.select([ours], [], [], 60)[0] and (more := os.read(ours, 65536)):
            shown += more
    os.close(ours)
    return process.wait(20), shown


class Screen:
    """Rows of characters, as the sequences of a Linux console change them. One column a character."""

    def __init__(self, rows, columns):
        self.cells = []
        self.unknown = []
        self.resize(rows, columns)

    def resize(self, rows, columns):
        self.rows, self.columns = rows, columns
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.top, self.bottom = 0, rows - 1

    def text(self):
        return "\n".join("".join(row).rstrip() for row in self.cells)

    def put(self, character):
        if self.column == self.columns:
            self.column = 0
            self.down()
        self.cells[self.row][self.column] = character
        self.column += 1

    def down(self):
        if self.row == self.bottom:
            self.scroll(self.top, 1)
        else:
            self.row = min(self.row + 1, self.rows - 1)

    def up(self):
        if self.row == self.top:
            self.scroll(self.top, -1)
        else:
            self.row = max(self.row - 1, 0)

    def scroll(self, top, count):
        """Rows from `top` to the end of the region go up by `count`; below zero, down."""
        for _ in range(min(abs(count), self.bottom - top + 1)):
            self.cells.insert(self.bottom + 1 if count > 0 else top, [" "] * self.columns)
            del self.cells[top if count > 0 else self.bottom + 1]

    def erase(self, from_row, from_column, to_row, to_column):
        for row in range(from_row, to_row + 1):
            first = from_column if row == from_row else 0
            last = to_column if row == to_row else self.columns
            self.cells[row][first:last] = [" "] * (last - first)

    def shift(self, count):
        """Characters from the cursor on go right by `count`; below zero, left."""
        row = self.cells[self.row]
        for _ in range(min(abs(count), self.columns - self.column)):
            row.insert(self.column if count > 0 else self.columns, " ")
            del row[self.columns if count > 0 else self.column]

    def control(self, letter, numbers):
        count = (numbers or [0])[0] or 1
        kind = (numbers or [0])[0]
        self.column = min(self.column, self.columns - 1)
        if letter in "Hf":
            self.row = min(count, self.rows) - 1
            self.column = min((numbers[1] if len(numbers) > 1 else 1) or 1, self.columns) - 1
        elif letter in "ABCDGd":
            self.row = {"A": self.row - count, "B": self.row + count, "d": count - 1}.get(letter, self.row)
            self.column = {"C": self.column + count, "D": self.column - count, "G": count - 1}.get(letter, self.column)
            self.row = min(max(self.row, 0), self.rows - 1)
            self.column = min(max(self.column, 0), self.columns - 1)
        elif letter == "J":
            first = (self.row, self.column) if kind == 0 else (0, 0)
            last = (self.row, self.column + 1) if kind == 1 else (self.rows - 1, self.columns)
            self.erase(*first, *last)
        elif letter == "K":
            self.erase(self.row, self.column if kind == 0 else 0, self.row, self.column + 1 if kind == 1 else self.columns)
        elif letter == "X":
            self.erase(self.row, self.column, self.row, min(self.column + count, self.columns))
        elif letter in "@P":
            self.shift(count if letter == "@" else -count)
        elif letter in "LM":
            self.scroll(self.row, -count if letter == "L" else count)
        elif letter == "r":
            self.top, self.bottom = count - 1, (numbers[1] if len(numbers) > 1 else self.rows) - 1
            self.row = self.column = 0
        elif letter not in "mhlc":
            self.unknown.append(letter)

    def feed(self, text):
        """Returns what is left of a sequence that has not come as a whole."""
        at = 0
        while at < len(text):
            found = CONTROL.match(text, at)
            if found:
                at = found.end()
                private, numbers, letter, _, single = found.groups()
                if letter and not private:
                    self.control(letter, [int(number or 0) for number in numbers.split(";")] if numbers else [])
                elif single == "M":
                    self.up()
                elif single == "c":
                    self.resize(self.rows, self.columns)
                continue
            if text[at] == "\x1b" and UNFINISHED.match(text, at):
                return text[at:]
            if text[at] == "\r":
                self.column = 0
            elif text[at] == "\n":
                self.down()
            elif text[at] == "\b":
                self.column = max(self.column - 1, 0)
            elif text[at] == "\t":
                self.column = min(self.column // 8 * 8 + 8, self.columns - 1)
            elif text[at] >= " ":
                self.put(text[at])
            elif text[at] == "\x1b":
                self.unknown.append(text[at:at + 8])
            at += 1
        return ""


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, command, rows=24, columns=80, **environment):
        self.screen = Screen(rows, columns)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.left, self.all = "", ""
        self.master, self.slave = pty.openpty()
        self.set_size(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        env = dict(os.environ, TERM="linux", LC_ALL="C.UTF-8", **environment)
        self.process = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env,
                                        preexec_fn=self.own_terminal)

    @staticmethod
    def own_terminal():
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def set_size(self, rows, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        """As a window manager: the size, and by that SIGWINCH. What was shown is forgotten."""
        self.read(0)
        self.screen.resize(rows, columns)
        self.set_size(rows, columns)

    def read(self, seconds):
        if select.select([self.master], [], [], seconds)[0]:
            text = self.decoder.decode(os.read(self.master, 65536))
            self.all += text
            self.left = self.screen.feed(self.left + text)
            return True
        return False

    def press(self, keys):
        os.write(self.master, keys.encode())

    def wait(self, condition, what, seconds=60):
        """Until the screen is as `condition` says; text: until it has that."""
        shows = condition if callable(condition) else lambda text: condition in text
        deadline = time.monotonic() + seconds
        while self.read(0.05) or not shows(self.screen.text()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the screen does not show {what}:\n{self.screen.text()}")

    def end(self, seconds=60):
        """Reads on until the program has ended; its exit status."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            self.read(0.05)
        while self.read(0.05):
            pass
        return self.process.poll()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)
