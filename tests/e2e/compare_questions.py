# SPDX-License-Identifier: GPL-3.0-or-later
"""The questions of tests/e2e/compare_nginx."""

import os
import random
from urllib.parse import quote

from peers import Question

DAY_BEFORE, DAY_AFTER = "Sat, 01 Jan 2000 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


def walk(root, folders):
    """Targets of the files and directories below the folders, in a steady order."""
    files, directories = [], []
    for folder in folders:
        for path, _, names in sorted(os.walk(os.path.join(root, folder))):
            below = "/" + os.path.relpath(path, root)
            directories.append(below)
            files += [os.path.join(below, name) for name in sorted(names)]
    return files, directories


def of_file(target, size):
    """What is asked of each file of the sample."""
    spans = ["0-0", "0-99", "0-", "10-", "-1", "-10", "-0", "5-2", "-", "abc", "0-0,-1", "0-1,3-4,6-8", "3-4,0-1", "0-10,5-15",
             "0-0,0-0", ",0-0,", "0-0, 2-2", "0 - 1", "1-1,", f"{size}-", f"{size - 1}-", f"-{size}", f"-{size + 1}",
             f"0-{size}", f"0-{size - 1}", f"{size}-,0-0", f"{size + 5}-{size + 9}", "0-99999999999999999999",
             "99999999999999999999-", "-99999999999999999999", "0-0,1-1,2-2,3-3,4-4,5-5", "0-1,1-2,2-3", "0-,0-", "0x0-1", "+1-2",
             "1-1-1", "--1"]
    for span in spans:
        yield Question("range", "GET", target, "Range: bytes=" + span)
    for value in ("Bytes=0-1", "bytes 0-1", "bytes = 0-1", "lines=0-1", "bytes=", "=0-1", "bytes=0-1;q=1"):
        yield Question("range-unit", "GET", target, "Range: " + value)
    yield Question("range-twice", "GET", target, "Range: bytes=0-1", "Range: bytes=2-3")
    yield Question("range-head", "HEAD", target, "Range: bytes=0-1")
    for value in ("{etag}", "W/{etag}", '"other"', "{modified}", DAY_BEFORE, DAY_AFTER, "nonsense", ""):
        yield Question("if-range", "GET", target, "Range: bytes=0-1", "If-Range: " + value)
    yield Question("if-range", "GET", target, f"Range: bytes={size}-", 'If-Range: "other"')
    for name in ("If-None-Match", "If-Match"):
        for value in ("{etag}", "W/{etag}", "*", '"other"', '"a", {etag}', '"a,b"', "other", "", '{etag}, "b', "{etag}x"):
            yield Question(name.lower(), "GET", target, f"{name}: {value}")
        yield Question(name.lower(), "HEAD", target, name + ": {etag}")
        yield Question(name.lower() + "-twice", "GET", target, f'{name}: "a"', name + ": {etag}")
    for name in ("If-Modified-Since", "If-Unmodified-Since"):
        for value in ("{modified}", DAY_BEFORE, DAY_AFTER, "Saturday, 01-Jan-00 00:00:00 GMT", "Sat Jan  1 00:00:00 2000", "nonsense", "0",
                      "", "Sat, 01 Jan 2000 00:00:00", "Sat, 31 Feb 2000 00:00:00 GMT", "Sun, 01 Jan 2000 00:00:00 GMT"):
            yield Question(name.lower(), "GET", target, f"{name}: {value}")
        yield Question(name.lower(), "HEAD", target, name + ": {modified}")
    for pair in (("If-None-Match: {etag}", "If-Modified-Since: " + DAY_BEFORE), ('If-None-Match: "x"', "If-Modified-Since: {modified}"),
                 ("If-Match: {etag}", "If-Unmodified-Since: " + DAY_BEFORE), ('If-Match: "x"', "If-None-Match: {etag}"),
                 ("If-None-Match: {etag}", "Range: bytes=0-1"), ("If-Match: {etag}", "Range: bytes=0-1"),
                 ('If-Match: "x"', "Range: bytes=0-1"), ("If-Unmodified-Since: " + DAY_BEFORE, "Range: bytes=0-1"),
                 ("If-None-Match: {etag}", f"Range: bytes={size}-")):
        yield Question("preconditions", "GET", target, *pair)
    yield from spellings(target)
    for accept in ("gzip", "br", "zstd", "gzip, br", "identity", "*", "gzip;q=0", "identity;q=0", "*;q=0", "", "x-gzip", "GZIP", "gzip;q=2",
                   "deflate"):
        yield Question("accept-encoding", "GET", target, "Accept-Encoding: " + accept)


def spellings(target):
    """The same path in other letters, and paths that are near it."""
    folder, name = target.rsplit("/", 1)
    first = f"%{ord(name[0]):02x}" + quote(name[1:])
    for other in (f"{folder}/{first}", f"{folder}/{first.upper()}" if name[1:].isupper() else f"{folder}/{first}",
                  target.replace("/", "//"), f"/.{target}", f"{folder}/./{name}", f"{folder}/x/../{name}", f"{folder}/%2e/{name}",
                  f"{folder}/x/%2e%2E/{name}", target + "?", target + "?a=b&c", target + "?/../x", target + "#part", target + "%23part",
                  target + "/", target + "//", target + "/.", target + "/x", target + "%00", target + "%00.html", target + "%20",
                  target + ".", target + "%2f", folder + "%2f" + name, folder + "%2F" + name, folder + "\\" + name,
                  folder + "%5c" + name, folder + "/%2e%2e%2f" + name, target + "%", target + "%2", target + "%zz", target + "%u0041",
                  target + ";x", target + "%3Fa", "http://test" + target, "http://other" + target, "HTTP://test" + target,
                  "https://test" + target, target[1:], target.upper(), "/%c0%ae%c0%ae" + target, "/.." + target, "/../.." + target,
                  "/%2e%2e" + target, "/..%2f" + target[1:], "/%252e%252e" + target, target + "\t", "//test" + target, "*"):
        yield Question("spelling", "GET", other)


def of_directory(target):
    for other in (target, target + "/", target + "//", target + "/.", target + "/..", target + "/../", target + "?a=b", target + "/?a=b",
                  target + "/index.html", target + "/index.html/", target + "/nothing", target + "/nothing/", target + "/.hidden",
                  target + "/%2ehidden", "http://test" + target, "/" + target):
        yield Question("directory", "GET", other)
    yield Question("directory", "HEAD", target)
    yield Question("directory", "HEAD", target + "/")
    yield Question("directory", "GET", target + "/", "If-Modified-Since: " + DAY_AFTER)
    yield Question("directory", "GET", target + "/", "If-None-Match: *")
    yield Question("directory", "GET", target + "/", "Range: bytes=0-1")
    yield Question("directory", "POST", target + "/", "Content-Length: 0")


def of_methods(target):
    for method in ("POST", "PUT", "DELETE", "PATCH", "PROPFIND", "MKCOL", "LOCK", "FOO", "TRACE", "OPTIONS", "get", "Get", "HEADX"):
        yield Question("method", method, target, "Content-Length: 0")
        yield Question("method", method, target + ".none", "Content-Length: 0")
    yield Question("method", "OPTIONS", "*")
    yield Question("method", "CONNECT", "test:80")
    yield Question("method", "CONNECT", target)
    yield Question("method", "GET", target, "Content-Length: 0")


def of_messages(target):
    get = f"GET {target} "
    for text in (get + "HTTP/1.0\r\n\r\n", get + "HTTP/1.0\r\nHost: test\r\nConnection: keep-alive\r\n\r\n", get + "HTTP/1.1\r\n\r\n",
                 get + "HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", get + "HTTP/1.1\r\nHost: \r\n\r\n",
                 get + "HTTP/1.1\r\nHost: a b\r\n\r\n", get + "HTTP/1.1\r\nHost: a/b\r\n\r\n", get + "HTTP/1.1\r\nHost: test:99999\r\n\r\n",
                 get + "HTTP/1.2\r\nHost: a\r\n\r\n", get + "HTTP/2.0\r\nHost: a\r\n\r\n", get + "HTTP/0.9\r\n\r\n", get + "http/1.1\r\nHost: a\r\n\r\n",
                 get + "HTTP/1.1\nHost: a\n\n", get + " HTTP/1.1\r\nHost: a\r\n\r\n", "\r\n" + get + "HTTP/1.1\r\nHost: a\r\n\r\n",
                 get + "HTTP/1.1\r\nHost : a\r\n\r\n", get + "HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", get + "HTTP/1.1\r\nHost: a\r\nX\r\n\r\n",
                 get + "HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", get + "HTTP/1.1\r\nHost: a\r\nX@: 1\r\n\r\n",
                 get + "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", get + "HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
                 get + "HTTP/1.1\r\nHost: a\r\nExpect: nonsense\r\n\r\n", get + "HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
                 get + "HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
                 get + "HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 get + "HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: nonsense\r\n\r\n",
                 get + "HTTP/1.1\r\nHost: a\r\nX: " + "y" * 7000 + "\r\n\r\n", get + "HTTP/1.1\r\nHost: a\r\nX: " + "y" * 40000 + "\r\n\r\n",
                 "GET /" + "y" * 3000 + " HTTP/1.1\r\nHost: a\r\n\r\n", "GET /" + "y/" * 3000 + " HTTP/1.1\r\nHost: a\r\n\r\n",
                 "GET /" + "y" * 20000 + " HTTP/1.1\r\nHost: a\r\n\r\n", "GET /" + "y" * 300 + " HTTP/1.1\r\nHost: a\r\n\r\n"):
        yield Question("version" if "HTTP/1.1\r\nHost: a\r\n\r\n" != text[-22:] else "message", "GET", target, raw=text.encode("latin-1"))


def all_questions(root, folders, sample_count, seed):
    source = random.Random(seed)
    files, directories = walk(root, folders)
    targets = [quote(name, safe="/-._~!$&'()*+,;=:@") for name in files]
    for target in targets:
        yield Question("file", "GET", target, "Accept-Encoding: identity")
        yield Question("file", "HEAD", target, "Accept-Encoding: identity")
        yield Question("file", "GET", target, "Accept-Encoding: gzip, br, zstd")
        if target.endswith(".gz"):
            yield Question("sibling", "GET", target[:-3], "Accept-Encoding: gzip")
            yield Question("sibling", "GET", target[:-3])
    for name in source.sample(directories, min(len(directories), 2 * sample_count)):
        yield from of_directory(quote(name))
    by_ending = {}
    for name, target in zip(files, targets):
        by_ending.setdefault(os.path.splitext(name)[1], []).append((name, target))
    sample = []
    while len(sample) < min(sample_count, len(files)):
        for ending in sorted(by_ending):
            if by_ending[ending] and len(sample) < sample_count:
                sample.append(by_ending[ending].pop(source.randrange(len(by_ending[ending]))))
    for name, target in sample:
        yield from of_file(target, os.path.getsize(root + name) if os.path.exists(root + name) else 0)
    for _, target in sample[:5]:
        yield from of_methods(target)
        yield from of_messages(target)
