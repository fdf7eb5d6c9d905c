# SPDX-License-Identifier: GPL-3.0-or-later
"""Says whether io_uring may be used here; exits 1 with the reason and the way out if not."""

import ctypes
import errno
import os
import sys

IO_URING_SETUP = 425  # the same on every architecture but alpha
FLOOR = (6, 1)


def read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return None


def seccomp_is_on():
    status = read("/proc/self/status") or ""
    return any(line.split() == ["Seccomp:", "2"] for line in status.splitlines())


def why(error):
    disabled = read("/proc/sys/kernel/io_uring_disabled")
    if error == errno.EPERM and disabled == "2":
        return "the sysctl kernel.io_uring_disabled is 2: sysctl -w kernel.io_uring_disabled=0"
    if error == errno.EPERM and disabled == "1" and os.geteuid() != 0:
        group = read("/proc/sys/kernel/io_uring_group")
        return ("the sysctl kernel.io_uring_disabled is 1: sysctl -w kernel.io_uring_disabled=0, "
                f"or join the group with the id {group} (kernel.io_uring_group)")
    if seccomp_is_on():
        return ("a seccomp filter refuses it, as the default profile of containers does: run the container with "
                "--security-opt seccomp=unconfined, or with a profile that allows io_uring_setup, io_uring_enter "
                "and io_uring_register")
    if error == errno.ENOSYS:
        return "the kernel was built without CONFIG_IO_URING: run another kernel"
    return "no known reason; see io_uring_setup(2)"


def main():
    release = os.uname().release
    numbers = tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in release.split(".")[:2])
    if numbers < FLOOR:
        print(f"Linux {release} is too old: Gyre needs 6.1 or newer")
        return 1
    libc = ctypes.CDLL(None, use_errno=True)
    parameters = ctypes.create_string_buffer(120)  # struct io_uring_params, all zero
    ring = libc.syscall(ctypes.c_long(IO_URING_SETUP), ctypes.c_long(2), parameters)
    if ring >= 0:
        os.close(ring)
        print(f"Linux {release}: io_uring is allowed")
        return 0
    error = ctypes.get_errno()
    print(f"io_uring is refused here ({errno.errorcode.get(error, error)}): {why(error)}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
