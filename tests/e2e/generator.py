# SPDX-License-Identifier: GPL-3.0-or-later
"""gyre-load, run by a test."""

import json
import os
import tempfile

from harness import ALARMS, Skip, equal, output_of, true

# meson sets it; by hand: GYRE_LOAD=build/debug/gyre-load tests/e2e/generator_test.py
LOAD = os.path.abspath(os.environ.get("GYRE_LOAD", "build/debug/gyre-load"))
KINDS = ("connect", "reset", "refused", "closed", "timeout", "short_answer", "status", "wrong_body", "wrong_question", "protocol")
KEYS = {"schema", "url", "method", "body", "connect_errors", "protocol_error", "connections", "pipeline", "outstanding", "threads", "tallies", "arrivals", "rate_asked", "seed", "bodies_compared", "slo",
        "began_ms", "seconds", "answered", "rate", "broadcast", "publishers", "deliveries", "scheduled", "unsent", "rate_reached", "sent_total", "answered_total",
        "connects", "connect_seconds", "errors", "latency_ns", "service_ns", "lateness_ns", "generator", "server", "server_error",
        "generator_was_bottleneck", "generator_limited", "latency_valid", "interrupted", "failure"}


def needed():
    if not os.path.exists(LOAD):
        raise Skip("gyre-load is not built here")


def load(url, *flags, seconds=40, before=()):
    """(exit status, figures or None, stdout, stderr)"""
    needed()
    with tempfile.NamedTemporaryFile(mode="r", suffix=".json") as file:
        status, out, errors = output_of([*before, LOAD, url, "--json", file.name, *flags], seconds)
        true(not ALARMS.search(errors), f"no sanitizer and no assertion complains: {errors}")
        text = file.read()
    return status, json.loads(text) if text else None, out, errors


def clean(url, *flags, **more):
    """The figures of a run that has to succeed."""
    status, figures, out, errors = load(url, *flags, **more)
    equal(status, 0, f"the exit status ({errors}{out})")
    equal(set(figures), KEYS, "the keys of the JSON")
    equal(figures["errors"], {"total": 0, **{kind: 0 for kind in KINDS}}, "errors")
    equal(figures["failure"], None, "failure")
    return figures
