# SPDX-License-Identifier: GPL-3.0-or-later
"""A server, linked with its functions in several random orders.

Where functions happen to lie decides about cache lines and branch predictors: two programs that differ in nothing else
have differed by some per cent. Over several orders that becomes noise, which pairs average, and is no bias any more.

It is compiled once, each function in a section of its own, and linked as often as there are orders: by GNU ld's own script,
with the sections' names put before its patterns. So every other flag of the link stays what it was.
"""

import random
import re
import shlex
import subprocess

from gate.revisions import NoVerdict

LAYOUTS = 6
COMPILE_ARGUMENTS = "-Dc_args=-ffunction-sections"
TEXT_SECTION = re.compile(r"^(  \.text\s*:[^{]*\{\n)", re.M)


def run(words, folder):
    ended = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    if ended.returncode != 0:
        raise NoVerdict(f"`{' '.join(words)}` in {folder} failed: {ended.stderr.strip()[-2000:]}")
    return ended.stdout


def functions_of(program):
    """The names of all functions that it has, in the order in which they lie."""
    lines = (line.split() for line in run(["nm", "-n", "--defined-only", str(program)], None).splitlines())
    return [words[2] for words in lines if len(words) == 3 and words[1] in "tT"]


def link_command(folder, target):
    """What ninja links a program with."""
    words = shlex.split(run(["ninja", "-C", str(folder), "-t", "commands", target], None).splitlines()[-1])
    if "-o" not in words or words[words.index("-o") + 1] != target:
        raise NoVerdict(f"how {folder}/{target} is linked could not be found")
    return words


def linked_to(words, out):
    at = words.index("-o") + 1
    return words[:at] + [str(out)] + words[at + 1:]


def default_script(words, folder, out):
    """The linker script that a command uses."""
    said = run([*linked_to(words, out), "-Wl,--verbose"], folder)
    found = re.search(r"^={20,}\n(.*?)^={20,}$", said, re.S | re.M)
    if not found or not TEXT_SECTION.search(found[1]):
        raise NoVerdict("programs are linked in other function orders with GNU ld's script, and this linker shows none: "
                        "install binutils, and use no other linker (unset CC_LD)")
    return found[1]


def ordered_script(script, names, seed):
    names = list(names)
    random.Random(seed).shuffle(names)
    patterns = "".join(f"    *(.text.{name})\n" for name in names)
    return TEXT_SECTION.sub(lambda match: match[1] + patterns, script, count=1)


def relink(built, target, folder, number=LAYOUTS):
    """Links `target` of a build folder into `folder` in `number` orders; the programs."""
    words, scratch = link_command(built, target), folder / "order"
    programs = [folder / f"{target}-{i}" for i in range(number)]
    script = default_script(words, built, programs[0])
    names = sorted(set(functions_of(built / target)))
    for seed, program in enumerate(programs):
        scratch.write_text(ordered_script(script, names, seed))
        run([*linked_to(words, program), f"-Wl,-T,{scratch}"], built)
    scratch.unlink()
    return programs


def differ(programs):
    """Whether their functions really lie in different orders."""
    return len({tuple(functions_of(program)) for program in programs}) == len(programs)
