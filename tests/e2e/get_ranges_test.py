# SPDX-License-Identifier: GPL-3.0-or-later
"""`gyre get` of a part, and going on where a transfer broke off: by itself, in another run, never over what is whole."""

import os
import re
import subprocess
import threading
import time

from get_peers import ScriptedHttp, content, folder, get, written
from harness import PROGRAM, equal, run, test, true
from scripted import answer


# ---- ranges, and going on -------------------------------------------------------------------------------------------

WHOLE = bytes(range(256)) * 400


def ranged(cut=0, tag='"v1"', ranges=True):
    """A server of WHOLE; the first `cut` connections break off in the middle."""
    def reply(_path, fields, number):
        first, last, status, more = 0, len(WHOLE) - 1, "200 OK", []
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", fields.get("range", ""))
        if ranges and asked and fields.get("if-range", tag) == tag:
            if not asked[1]:
                first = len(WHOLE) - int(asked[2])
            else:
                first, last = int(asked[1]), int(asked[2] or last)
            if first >= len(WHOLE):
                return answer("416 Range Not Satisfiable", b"none", f"Content-Range: bytes */{len(WHOLE)}")
            status, more = "206 Partial Content", [f"Content-Range: bytes {first}-{last}/{len(WHOLE)}"]
        body = WHOLE[first:last + 1]
        whole = answer(status, body, "ETag: " + tag, *more)
        return (whole[:len(whole) - len(body) // 2], None) if number <= cut else whole
    return reply


@test
def a_range_is_fetched():
    with ScriptedHttp(ranged()) as server, folder() as here:
        path = os.path.join(here, "part")
        for text, wanted in (("0-9", WHOLE[:10]), ("102390-", WHOLE[102390:]), ("-7", WHOLE[-7:])):
            equal(get("-r", text, "-o", path, server.address)[0], 0)
            equal(content(path), wanted, text)
    with ScriptedHttp(ranged(ranges=False)) as server:
        status, out, errors = get("-r", "0-9", server.address)
        equal((status, out), (1, ""))
        true("does not serve ranges" in errors, errors)


@test
def a_transfer_that_breaks_off_goes_on_by_itself():
    with ScriptedHttp(ranged(cut=2)) as server, folder() as here:
        path = os.path.join(here, "file")
        equal(get("-o", path, server.address)[0], 0)
        true(content(path) == WHOLE, "the file is whole")
        equal([fields.get("range") for _, fields in server.requests], [None, "bytes=51200-", "bytes=76800-"])
        equal(server.requests[1][1]["if-range"], '"v1"')
        equal(os.listdir(here), ["file"])


@test
def a_server_without_ranges_is_asked_for_all_of_it_again():
    with ScriptedHttp(ranged(cut=1, ranges=False)) as server, folder() as here:
        path = os.path.join(here, "file")
        equal(get("-o", path, server.address)[0], 0)
        true(content(path) == WHOLE, "the file is whole, and no half of it is there twice")
        equal([fields.get("range") for _, fields in server.requests], [None, "bytes=51200-"])
        equal(get("--retry", "0", "-C", "-o", path + "2", server.address)[0], 0)
        true(content(path + "2") == WHOLE, "so is one that another run begins")
    with ScriptedHttp(ranged(cut=1, ranges=False)) as server:
        status, out, errors = get(server.address)
        equal(status, 1, "what was printed cannot be taken back")
        true(len(out) < len(WHOLE) and "serves no ranges" in errors, errors)


@test
def a_transfer_that_breaks_off_fails_without_retries_and_leaves_nothing():
    with ScriptedHttp(ranged(cut=9)) as server, folder() as here:
        status, _, errors = get("--retry", "0", "-o", os.path.join(here, "file"), server.address)
        equal(status, 1)
        true("ended within the body" in errors, errors)
        equal(os.listdir(here), [])


@test
def a_part_that_is_not_the_rest_of_the_file_does_not_make_it_whole():
    begin = answer("200 OK", b"0123456789", 'ETag: "v1"')[:-7]
    for tag, span, body, wanted in (("v1", "3-4/10", b"34", "not the rest"), ("v1", "3-9/10", b"3456789abc", "not the rest"),
                                    ("v2", "3-9/10", b"DEFGHIJ", "another version"), ("v1", "4-9/10", b"456789", "not asked for")):
        part = answer("206 Partial Content", body, f'ETag: "{tag}"', "Content-Range: bytes " + span)
        with ScriptedHttp(lambda _path, _fields, number, part=part: (begin, None) if number == 1 else part) as server, folder() as here:
            status, _, errors = get("-o", os.path.join(here, "file"), server.address)
            equal(status, 1, f"{tag} {span}: the exit status")
            true(wanted in errors, errors)
            equal(os.listdir(here), [], f"{tag} {span}: no file")


@test
def a_part_that_nobody_asked_for_is_no_file():
    part = answer("206 Partial Content", b"789", "Content-Range: bytes 7-9/10")
    with ScriptedHttp(lambda *_: part) as server:
        for asked in ([], ["-r", "0-2"]):
            status, out, errors = get(*asked, server.address)
            equal((status, out), (1, ""), f"{asked}: {errors}")
            true("not asked for" in errors, errors)
    beginning = answer("206 Partial Content", b"012", "Content-Range: bytes 0-2/10")
    with ScriptedHttp(lambda *_: beginning) as server:
        equal(get(server.address)[:2], (1, ""), "a beginning is not the whole")


@test
def another_run_goes_on_where_the_last_one_stopped():
    with ScriptedHttp(ranged(cut=1)) as server, folder() as here:
        path = os.path.join(here, "file")
        equal(get("--retry", "0", "-C", "-o", path, server.address)[0], 1)
        equal(os.listdir(here), ["file.part"])
        equal(get("-C", "-o", path, server.address)[0], 0)
        true(content(path) == WHOLE, "the file is whole")
        equal(os.listdir(here), ["file"])
        fields = server.requests[1][1]
        if fields.get("range"):
            equal(fields["if-range"], '"v1"')


@test
def another_run_begins_anew_when_the_file_has_changed():
    with folder() as here:
        path = os.path.join(here, "file")
        with ScriptedHttp(ranged(cut=1, tag='"old"')) as server:
            equal(get("--retry", "0", "-C", "-o", path, server.address)[0], 1)
            true(os.path.getsize(path + ".part") == len(WHOLE) // 2, "a half is there")
        with open(path + ".part", "r+b") as file:
            file.write(b"not what is there now")
        with ScriptedHttp(ranged(tag='"new"')) as server:
            equal(get("-C", "-o", path, server.address)[0], 0)
        true(content(path) == WHOLE, "nothing of the old half is left")


@test
def a_part_that_is_complete_gets_its_name():
    with ScriptedHttp(ranged()) as server, folder() as here:
        path = os.path.join(here, "file")
        written(path + ".part", WHOLE)
        try:
            os.setxattr(path + ".part", "user.gyre.validator", b'"v1"')
        except OSError:
            return  # without attributes there is nothing to go on with, and the run before this one shows that
        equal(get("-C", "-o", path, server.address)[0], 0)
        true(content(path) == WHOLE, "it is whole")
        equal(len(server.requests), 1)


@test
def what_was_there_stays_until_the_new_one_is_whole():
    with ScriptedHttp(ranged(cut=9)) as server, folder() as here:
        path = os.path.join(here, "file")
        written(path, b"before")
        equal(get("--retry", "0", "-o", path, server.address)[0], 1)
        equal(content(path), b"before")
        equal(os.listdir(here), ["file"])


@test
def a_part_that_another_run_writes_is_left_alone():
    tried = threading.Event()
    with folder() as here, ScriptedHttp(lambda path, *_: (answer("200 OK", bytes(10))[:-5], tried, b"12345")) as server:
        path = os.path.join(here, "file")
        first = subprocess.Popen([PROGRAM, "get", "-o", path, server.address], stderr=subprocess.DEVNULL)
        while not os.path.exists(path + ".part"):
            time.sleep(0.02)
        status, _, errors = get("-o", path, server.address)
        equal(status, 1)
        true("another process is writing it" in errors, errors)
        tried.set()
        equal(first.wait(20), 0)
        equal(os.path.getsize(path), 10)


@test
def an_interrupt_leaves_no_part_behind():
    with folder() as here, ScriptedHttp(lambda *_: (answer("200 OK", bytes(10))[:-5], 20)) as server:
        path = os.path.join(here, "file")
        process = subprocess.Popen([PROGRAM, "get", "-o", path, server.address], stderr=subprocess.PIPE)
        while not os.path.exists(path + ".part"):
            time.sleep(0.02)
        process.terminate()
        equal(process.wait(20), 130)
        process.stderr.close()
        equal(os.listdir(here), [])


if __name__ == "__main__":
    run()
