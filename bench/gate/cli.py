# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate's commands: their flags and their help."""

from gate import experiment, flags, history_page, whole

GATE = """\
Builds two revisions (or takes two build folders) and says what got dearer. Two layers:
counts   what one operation of each scenario in memory costs, exactly: instructions (under
         valgrind), system calls, allocations, copied bytes, submissions. Fails at 1 % more
         instructions, and at any more allocations or copies; names the function that grew.
pairs    what a request costs the server in CPU time, both sides measured side by side.
         Fails at more than 3 % (signed-rank test, Holm, 5 %); where a slow-down of 5 % could
         not be seen 19 times of 20 it measures on, and then says "inconclusive".
bench/gate/waivers can allow a named scenario to grow, once.

Exit status: 0 pass, 1 fail, 2 inconclusive, misused, or it does not build."""

PAIRS = """\
Layer 2 of the gate alone: of two revisions, or of any two servers that gyre-load can load:

  gyre-bench pairs main HEAD
  gyre-bench pairs --a './old -p {port}' --b './new -p {port}' --url http://127.0.0.1:{port}/

Rounds of three servers side by side: base, base again (the canary), head. --a and --b may be
given several times: builds of the same code in different function orders.

Exit status: 0 pass, 1 fail (more than 3 % dearer), 2 inconclusive or misused."""


def add_to(commands):
    add_gate(commands)
    add_pairs(commands)
    history_page.add_to(commands)
    experiment.add_to(commands)


def add_gate(commands):
    gate = flags.command(commands, "gate", "BASE HEAD", "what got dearer between two revisions, and in which function", GATE)
    gate.add_argument("base", metavar="BASE", help="what to compare with: main, HEAD~1, a tag, ./a/build/folder")
    gate.add_argument("head", metavar="HEAD", help="what to judge; of a revision, what is not committed does not count")
    gate.add_argument("--layer", choices=("counts", "pairs"), metavar="NAME", help="only this one: counts, pairs")
    gate.add_argument("--counted", type=flags.names, default=[], metavar="NAME,…", help="only these scenarios of counts")
    add_measuring(gate, minutes=5)
    add_building(gate)
    add_outputs(gate)
    gate.set_defaults(run=whole.run_gate)


def add_pairs(commands):
    pairs = flags.command(commands, "pairs", "BASE HEAD | --a COMMAND --b COMMAND --url URL", "CPU time per request of two servers, side by side", PAIRS)
    pairs.add_argument("base", metavar="BASE", nargs="?")
    pairs.add_argument("head", metavar="HEAD", nargs="?")
    pairs.add_argument("--a", action="append", default=[], metavar="COMMAND", help="the base, in the place of BASE")
    pairs.add_argument("--b", action="append", default=[], metavar="COMMAND", help="the head, in the place of HEAD")
    pairs.add_argument("--url", help="what is loaded, with {port} for the port")
    pairs.add_argument("--load-flag", dest="load_flags", action="append", default=[], metavar="FLAG",
                       help="of gyre-load: --load-flag=-c16; may be repeated")
    add_measuring(pairs, minutes=8)
    add_building(pairs)
    add_outputs(pairs)
    pairs.set_defaults(run=whole.run_pairs)


def add_measuring(parser, minutes):
    parser.add_argument("--minutes", type=float, default=minutes, metavar="N", help=f"of measuring pairs, at most ({minutes})")
    flags.add_windows(parser)


def add_building(parser):
    parser.add_argument("--work", metavar="FOLDER", help="keep builds there (~/.cache/gyre/gate)")
    parser.add_argument("--same", action="store_true", help="BASE and HEAD may be the same: what is found is noise")
    parser.add_argument("--fresh", action="store_true", help="build anew, and keep nothing")
    parser.add_argument("--waivers", metavar="FILE", help="all lines of it count, instead of those that HEAD adds")


def add_outputs(parser):
    parser.add_argument("--json", metavar="FILE", help="write the result there; -: standard output, and nothing else")
    parser.add_argument("--history", metavar="FILE", help="add one line of JSON to it: `gyre-bench history` plots them")
