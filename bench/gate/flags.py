# SPDX-License-Identifier: GPL-3.0-or-later
"""Flags that several commands share."""

import argparse


class Help(argparse.RawDescriptionHelpFormatter):
    """A flag a line, so that it fits a screen."""

    def __init__(self, prog):
        super().__init__(prog, max_help_position=28, width=120)


def command(commands, name, arguments, short, description):
    return commands.add_parser(name, help=short, description=description, formatter_class=Help,
                               usage=f"gyre-bench {name} {arguments} [FLAG]…")


def names(text):
    return [name for name in text.split(",") if name]


def add_windows(parser):
    """How windows of layer 2 are measured."""
    parser.add_argument("--only", type=names, default=[], metavar="NAME,…", help="only these scenarios of pairs")
    parser.add_argument("--seconds", type=float, default=0.5, metavar="S", help="length of a window (0.5)")
    parser.add_argument("--server-core", type=int, default=0, metavar="N", help="where servers run (0)")
    parser.add_argument("--client-core", type=int, default=1, metavar="N", help="where gyre-load runs (1)")
    parser.add_argument("--load", metavar="FILE", help="the program gyre-load (the head's own)")
    parser.add_argument("--lock", metavar="FILE", help="hold this file's lock (flock) during each window")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the order of servers and layouts (1)")
