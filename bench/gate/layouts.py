# SPDX-License-Identifier: GPL-3.0-or-later
"""A revision's server, linked with its functions in several random orders.

Where functions happen to lie decides about cache lines and branch predictors: two programs that differ in nothing else
have differed by some per cent. Over several orders that becomes noise, which pairs average, and is no bias any more.
"""

import random
import shutil
import subprocess

from gate import revisions
from gate.revisions import NoVerdict

LAYOUTS = 6


def functions_of(program):
    """The names of all functions that it has."""
    run = subprocess.run(["nm", "--defined-only", str(program)], capture_output=True, text=True)
    if run.returncode != 0:
        raise NoVerdict(f"nm {program}: {run.stderr.strip()}")
    return sorted({line.split()[2] for line in run.stdout.splitlines() if line.split()[1:2] in (["t"], ["T"])})


def write_order(path, names, seed):
    names = list(names)
    random.Random(seed).shuffle(names)
    path.write_text("".join(f".text.{name}\n" for name in names))


def build_layouts(commit, work, number=LAYOUTS):
    """Programs of the same code in `number` orders, from a folder that keeps them."""
    folder = work / f"{commit}-layouts"
    programs = [folder / f"gyre-{i}" for i in range(number)]
    if all(program.exists() for program in programs):
        return programs
    shutil.rmtree(folder, ignore_errors=True)
    source, out, order = folder / "source", folder / "build", folder / "order"
    revisions.unpack(commit, source)
    order.write_text("")
    options = ["-Dc_args=-ffunction-sections",
               f"-Dc_link_args=['-fuse-ld=gold','-Wl,--section-ordering-file={order}']"]
    revisions.build(source, out, ["gyre"], options)
    names = functions_of(out / "gyre")
    for seed, program in enumerate(programs):
        write_order(order, names, seed)
        (out / "gyre").unlink()
        revisions.build(source, out, ["gyre"], options)
        shutil.copy2(out / "gyre", program)
    return programs
