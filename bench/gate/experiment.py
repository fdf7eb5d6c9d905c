# SPDX-License-Identifier: GPL-3.0-or-later
"""The command that shows, by experiment, how often the gate is wrong."""

import json
from pathlib import Path

from gate import experiment_counts, experiment_pairs, flags, layer1, whole

ABOUT = """\
Shows by experiment how often the gate is wrong. Either layer:
counts   equal builds, and builds with instructions that do nothing, as many as make an
         operation 1.2 % dearer, in functions chosen at random.
pairs    a bank of rounds of equal builds, and of builds made 5 % dearer; then the gate draws
         decisions from it, no round twice. Run again, it adds to the bank; --minutes 0 only
         decides. 22 minutes on a quiet machine are good for 100 decisions.

Exit status: 0 done (whatever was found), 2 misused or it does not build."""


def add_to(commands):
    parser = flags.command(commands, "experiment", "counts|pairs", "how often the gate is wrong, by experiment", ABOUT)
    parser.add_argument("layer", choices=("counts", "pairs"))
    parser.add_argument("--revision", default="HEAD", metavar="NAME", help="what is built (HEAD)")
    parser.add_argument("--builds", type=int, default=4, metavar="N", help="counts: equal builds to compare with the first (4)")
    parser.add_argument("--injections", type=int, default=20, metavar="N", help="counts: how many (20)")
    parser.add_argument("--bank", default="gate-bank.jsonl", metavar="FILE", help="pairs: the rounds (gate-bank.jsonl)")
    parser.add_argument("--minutes", type=float, default=22, metavar="N", help="pairs: of measuring (22)")
    flags.add_windows(parser)
    parser.add_argument("--work", metavar="FOLDER", help="build there, and keep the builds for the next time")
    parser.add_argument("--json", metavar="FILE", help="write the result there")
    parser.set_defaults(run=run, fresh=False)


def run(options):
    with whole.work_folder(options) as work:
        chosen = {"counts": experiment_counts, "pairs": experiment_pairs}[options.layer]
        result = chosen.run(options, work)
    if options.json:
        Path(options.json).write_text(json.dumps(layer1.as_json(result), indent=1, ensure_ascii=False) + "\n",
                                      encoding="utf-8")
    return 0
