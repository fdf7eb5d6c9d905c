# SPDX-License-Identifier: GPL-3.0-or-later
"""A line that says what is being done, where somebody looks."""

import sys


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
