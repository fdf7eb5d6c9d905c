# SPDX-License-Identifier: GPL-3.0-or-later
"""What is compared: a revision, built aside and kept by its commit, or a folder that somebody has built already.

What is kept are the programs: the scenarios of layer 1, the server in several function orders for layer 2, and gyre-load.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from gate import history, layouts, revisions
from gate.revisions import NoVerdict

SCENARIOS, SERVER, LOAD = "bench/gate-scenarios", "gyre", "gyre-load"
KEPT_MAX = 12  # builds; the one that was used longest ago goes first


class Built:
    """Programs of one side. `own_bench`: a revision that does not build with the scenarios of the other one. `scenarios`
    and `load` are None where there is none."""

    def __init__(self, name, commit, folder, own_bench=True):
        self.name, self.commit, self.folder, self.own_bench = name, commit, folder, own_bench
        self.scenarios = existing(folder / "gate-scenarios")
        self.load = existing(folder / LOAD)
        self.servers = sorted(folder.glob(f"{SERVER}-[0-9]*"))
        self.notes = []

    def about(self):
        return {"name": self.name, "commit": self.commit}


def existing(path):
    return path if path.exists() else None


def default_folder():
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "gyre" / "gate"


@contextlib.contextmanager
def locked(path):
    """Meanwhile nobody else who takes this lock goes on. Without a path, nothing."""
    if not path:
        yield
        return
    with open(path, "a", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ---- revisions -------------------------------------------------------------------------------------------------------

def recipe():
    """Changes with what programs hang on besides their source: a build of another recipe is another build."""
    said = [history.first_line(os.environ.get("CC", "cc"), "--version"),
            revisions.build_environment().get("PKG_CONFIG_PATH", ""), os.environ.get("CFLAGS", "")]
    said += [Path(module.__file__).read_text() for module in (layouts, revisions)]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:8]


def has_target(folder, target):
    said = subprocess.run(["ninja", "-C", str(folder), "-t", "targets", "all"], capture_output=True, text=True).stdout
    return f"\n{target}:" in said


def build_programs(commit, bench_of, folder):
    source, out = folder / "source", folder / "build"
    revisions.unpack(commit, source)
    if bench_of != commit:
        shutil.rmtree(source / "bench", ignore_errors=True)
        revisions.unpack(bench_of, source, "bench")
    revisions.configure(source, out, [layouts.COMPILE_ARGUMENTS])
    targets = [target for target in (SCENARIOS, SERVER, LOAD) if has_target(out, target)]
    if SERVER not in targets:
        raise NoVerdict(f"{commit} builds no {SERVER}")
    revisions.make(out, targets)
    for target in targets:
        if target != SERVER:
            shutil.copy2(out / target, folder)
    layouts.relink(out, SERVER, folder)
    shutil.rmtree(source)
    shutil.rmtree(out)


def kept_build(commit, bench_of, work):
    """The folder with the programs of a commit, built with another one's bench/ folder."""
    folder = work / f"{commit[:16]}-{bench_of[:16]}-{recipe()}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        if not (folder / "complete").exists():
            for left in folder.iterdir():
                if left.is_dir():
                    shutil.rmtree(left)
            build_programs(commit, bench_of, folder)
        (folder / "complete").touch()
    return folder


def forget_old(work, keep):
    """Of complete builds, all but the last KEPT_MAX and those of `keep`."""
    complete = sorted(work.glob("*/complete"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in complete[KEPT_MAX:]:
        if path.parent not in keep:
            shutil.rmtree(path.parent, ignore_errors=True)


def build_revision(name, commit, bench_of, work):
    """With `bench_of`'s scenarios, for figures of two revisions compare best when the scenarios are the same; with its own
    where those need what this revision has not."""
    work.mkdir(parents=True, exist_ok=True)
    if bench_of != commit:
        try:
            return Built(name, commit, kept_build(commit, bench_of, work), own_bench=False)
        except NoVerdict:
            pass
    return Built(name, commit, kept_build(commit, commit, work))


# ---- folders ---------------------------------------------------------------------------------------------------------

def is_folder(name):
    """A path with a slash in it that leads to built programs; anything else is a revision."""
    return "/" in name and any((Path(name) / program).is_file() for program in (SERVER, SCENARIOS))


def take_folder(name, work):
    """A build folder of somebody's own: its server is linked in other orders where that is possible."""
    source, folder = Path(name).resolve(), Path(work) / "folders" / hashlib.sha256(name.encode()).hexdigest()[:16]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for target in (SCENARIOS, LOAD):
        if (source / target).exists():
            shutil.copy2(source / target, folder)
    built = Built(name, "", folder)
    if (source / SERVER).exists():
        built.notes = take_server(name, source, folder)
        built.servers = sorted(folder.glob(f"{SERVER}-[0-9]*"))
    return built


def take_server(name, source, folder):
    """The server of a build folder, in several orders or just as it is; what a reader should know of that."""
    try:
        programs = layouts.relink(source, SERVER, folder)
        if not layouts.differ(programs):
            raise NoVerdict("it is not compiled with -ffunction-sections")
        return []
    except NoVerdict as why:
        for left in folder.glob(f"{SERVER}-*"):
            left.unlink()
        shutil.copy2(source / SERVER, folder / f"{SERVER}-0")
        return [f"{name} is measured in one function order only, so that a difference may be one of layout: {why}"]


def commits_of(base, head, same=False):
    """Of both sides; None: a folder. Unless `same`, what is compared with itself is a mistake: nothing can have grown."""
    commits = [None if is_folder(name) else revisions.resolve(name) for name in (base, head)]
    what, way_out = "the same folder", "name two folders"
    if commits[0]:
        what = f"the same commit, {commits[0][:12]}"
        way_out = "commit what is new, as what is not committed does not count, or name what was before it (HEAD~1)"
    alike = commits[0] == commits[1] if any(commits) else Path(base).resolve() == Path(head).resolve()
    if alike and not same:
        raise NoVerdict(f"{base} and {head} are {what}: there is nothing to compare; {way_out}. To see how noisy this "
                        "machine is: --same")
    return commits


def prepare(base, head, work, told=lambda text: None, same=False):
    """Both sides, built."""
    commits = commits_of(base, head, same)
    bench_of = commits[1] or commits[0]
    sides = []
    for name, commit in reversed(list(zip((base, head), commits))):  # what is new is what fails to build
        told(f"building {name} ")
        sides.insert(0, take_folder(name, work) if commit is None else build_revision(name, commit, bench_of, work))
    forget_old(work, [side.folder for side in sides])
    return sides
