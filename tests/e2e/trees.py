# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of files that a test makes, and gyre http of them."""

import contextlib
import os
import tempfile

from harness import Server


class Files(Server):
    """`gyre http DIR`, whatever it answers for the root of it; by one worker, unless it is told otherwise."""

    def __init__(self, root, *flags, **more):
        super().__init__(root, *flags, **{"workers": 1, **more})

    def answers(self):
        try:
            return self.get("/").status > 0
        except OSError:
            return False


def write(path, data):
    """With the folders on the way to it; text as UTF-8."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode())


@contextlib.contextmanager
def tree():
    """The root of an empty tree, beside which lies what nobody may see: ../secret and ../outside/secret."""
    with tempfile.TemporaryDirectory(prefix="gyre-tree-") as folder:
        os.chmod(folder, 0o755)
        root = folder + "/root"
        os.mkdir(root)
        write(folder + "/secret", "the secret")
        write(folder + "/outside/secret", "the secret")
        yield root


@contextlib.contextmanager
def serving(files, *flags, **more):
    """A server of a tree with these files, and its root; the tree goes when the server has gone."""
    with tree() as root:
        for name, data in files.items():
            write(root + "/" + name, data)
        with Files(root, *flags, **more) as server:
            yield server, root
