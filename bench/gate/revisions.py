# SPDX-License-Identifier: GPL-3.0-or-later
"""A revision of the project, unpacked and built aside. Nothing of it touches the checkout or its list of worktrees."""

import os
import subprocess
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]


def root_of_project():
    """The checkout that this file is in; for an installed one, that of the current folder."""
    if (HERE / ".git").exists():
        return HERE
    try:
        run = subprocess.run(["git", "rev-parse", "--show-toplevel"], capture_output=True, text=True)
    except FileNotFoundError:
        return Path.cwd()
    return Path(run.stdout.strip()) if run.returncode == 0 else Path.cwd()


ROOT = root_of_project()

# Not optimised as a whole: what the compiler inlines across files depends on all of the program, and figures of code
# that nobody touched would move. With line tables, so that functions can be told apart by their file.
BUILD_OPTIONS = ["--buildtype=release", "-Ddebug=true", "-Db_lto=false", "-Dtests=disabled", "-Dwerror=false"]


class NoVerdict(Exception):
    """The gate cannot say anything; the text says why, and what to try."""


def git(*words):
    try:
        run = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True)
    except FileNotFoundError:
        raise NoVerdict("git is missing") from None
    if run.returncode != 0:
        raise NoVerdict(f"git {' '.join(words)}: {run.stderr.decode(errors='replace').strip()}")
    return run.stdout


def resolve(name):
    """The commit that a name means, in 40 digits."""
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", name + "^{commit}").decode().strip()
    except NoVerdict:
        try:
            git("rev-parse", "--git-dir")
        except NoVerdict:
            raise NoVerdict(f"`{name}` is no folder with a built gyre in it, and {ROOT} is in no git repository, where a revision "
                            "could be") from None
        raise NoVerdict(f"there is no revision `{name}` in {ROOT}, nor a folder with a built gyre in it; is the clone a "
                        "shallow one? `git fetch --unshallow` gets the rest") from None


def file_at(commit, path):
    """A file's text in a commit, or "" where the commit does not have it."""
    run = subprocess.run(["git", "-C", str(ROOT), "show", f"{commit}:{path}"], capture_output=True)
    return run.stdout.decode() if run.returncode == 0 else ""


def unpack(commit, folder, *paths):
    """Puts a commit's files (only those under `paths`, if there are any) into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(["git", "-C", str(ROOT), "archive", commit, *paths], stdout=subprocess.PIPE) as archive:
        with tarfile.open(fileobj=archive.stdout, mode="r|") as files:
            files.extractall(folder)
    if archive.returncode != 0:
        raise NoVerdict(f"git archive {commit} failed")


def build_environment():
    """Ours, and where ci/setup put the libraries, unless they are found without."""
    environment = dict(os.environ)
    known = ROOT / "build/env.sh"
    if known.exists() and subprocess.run(["pkg-config", "--atleast-version=2.9", "liburing"],
                                         capture_output=True).returncode != 0:
        words = ["bash", "-c", '. "$1" && printf %s "$PKG_CONFIG_PATH"', "env", str(known)]
        environment["PKG_CONFIG_PATH"] = subprocess.run(words, capture_output=True, text=True).stdout
    return environment


def run_tool(words):
    """Raises NoVerdict with the end of what the tool said."""
    try:
        run = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=build_environment())
    except FileNotFoundError:
        raise NoVerdict(f"{words[0]} is missing; `ci/setup --bench` installs it") from None
    if run.returncode != 0:
        end = "\n".join("  | " + line for line in run.stdout.splitlines()[-15:])
        raise NoVerdict(f"`{' '.join(words)}` failed:\n{end}")


def configure(source, folder, options=()):
    run_tool(["meson", "setup", str(folder), str(source), *BUILD_OPTIONS, *options])


def make(folder, targets):
    run_tool(["ninja", "-C", str(folder), *targets])


def build(source, folder, targets, options=()):
    configure(source, folder, options)
    make(folder, targets)
