#!/usr/bin/env python3
"""hypno tune, from outside: what it keeps, who goes by it, and that no result changes; cases as in harness.py."""
import json
import os
import re
import signal
import struct
import subprocess
import sys
import zlib

from harness import HYPNO, MODEL, equal, has, hypno, main, read, write

HERE = {"HYPNO_CACHE": "c"}
ANY = {**HERE, "HYP_TUNE_ANY": "1"}  # every other schedule counts as faster


def compiles():
    """Schedules are those of compiled code."""
    return "llvm (default)" in hypno("doctor")[0]


def tune(*more, env=None):
    out, err = hypno("tune", "m.yaml", "--limit", "1", "--summary", "json", "--quiet", *more, env=env or ANY)
    equal(err, "")
    return json.loads(out)


def variants(env=None):
    """By kernel of the plan, where it is not the table's choice."""
    doc = json.loads(hypno("explain", "m.yaml", "--json", env=env or HERE)[0])
    return {k["kernel"]: k["variant"] for p in doc["phases"] for k in p["kernels"] if k["variant"] != "table"}


def trained(name, env):
    hypno("train", "m.yaml", "--out", name, "--epochs", "2", "--quiet", env=env)
    return [read(f"{name}/{f}", "rb") for f in ("metrics.csv", "checkpoint.safetensors")]


def kept():
    (name,) = os.listdir("c/tuned")
    return os.path.join("c/tuned", name)


def test_keeps_and_forgets():
    """What is kept schedules kernels, and changes no bit of what they compute."""
    write("m.yaml", MODEL)
    if not compiles():
        return
    want = trained("table", {"HYPNO_CACHE": "off"})
    found = tune()
    equal(found["kept"], True)
    assert found["kernels"] and found["cycle_before"] > 0 and found["measured"] >= len(found["kernels"]), found
    equal(variants(), {k["kernel"]: k["variant"] for k in found["kernels"]})
    equal(trained("tuned", HERE), want)
    has(hypno("explain", "m.yaml", "wake.error", env=HERE)[0] + hypno("explain", "m.yaml", "--all", env=HERE)[0],
        "by `hypno tune` (measured")
    has(hypno("doctor", env=HERE)[0], f"tuned        {len(found['kernels'])} kernels are scheduled")
    equal(variants({"HYPNO_CACHE": "off"}), {})
    has(hypno("tune", "--forget", env=HERE)[0], f"{len(found['kernels'])} tuned kernels forgotten")
    equal(variants(), {})
    has(hypno("tune", "--forget", env=HERE)[0], "0 tuned kernels forgotten")


def test_other_threads_and_batches():
    """What was measured on so many threads, at that batch, counts for these."""
    write("m.yaml", MODEL)
    if not compiles():
        return
    assert tune("--threads", str(1 + os.cpu_count()))["kernels"]
    equal(variants(), {})
    assert tune("--set", "data.seen.batch=32")["kernels"]
    equal(variants(), {})
    here = tune()["kernels"]
    equal(len(variants()), len(here))
    has(hypno("doctor", env=HERE)[0], "tuned        ")
    equal(tune("--threads", "1", env=HERE).keys(), {"kept", "threads", "measured", "cycle_before", "cycle_after", "kernels"})


def test_damage():
    """A file that is cut, changed or garbage is as good as none; unknown variants are passed over."""
    write("m.yaml", MODEL)
    if not compiles():
        return
    want = trained("table", {"HYPNO_CACHE": "off"})
    tune()
    whole = read(kept(), "rb")
    for i, bad in enumerate((whole[:-5], whole[:-9] + b"?" + whole[-8:], b"", os.urandom(3000))):
        write(kept(), bad, "wb")
        equal(variants(), {})
    equal(trained("damaged", HERE), want)
    head, text = whole[:40], re.sub(rb" [a-z]+(_[a-z]+)? ", b" no_such ", whole[56:]) + b"odd\n"
    write(kept(), head + struct.pack("=QII", len(text), zlib.crc32(text), 0) + text, "wb")  # of another version
    equal(variants(), {})
    has(hypno("doctor", env=HERE)[0], f"tuned        {text.count(b'no_such')} kernels")
    tune()
    assert variants()


def test_interrupted():
    """Ctrl-C leaves what was kept."""
    write("m.yaml", MODEL)
    if not compiles():
        return
    tune()
    before = read(kept(), "rb")
    run = subprocess.Popen([HYPNO, "tune", "m.yaml", "--limit", "600"], env={**os.environ, **ANY}, stderr=subprocess.PIPE)
    run.stderr.readline()  # it measures now
    run.send_signal(signal.SIGINT)
    equal(run.wait(timeout=300), -signal.SIGINT)
    run.stderr.close()
    equal(read(kept(), "rb"), before)
    equal(len(os.listdir("c/tuned")), 1)


def test_refusals():
    write("m.yaml", MODEL)
    write("still.yaml", MODEL[:MODEL.index("schedule:")])
    has(hypno("tune", status=2)[1], "expected MODEL, or --forget alone")
    has(hypno("tune", "m.yaml", "--forget", status=2)[1], "expected MODEL, or --forget alone")
    has(hypno("tune", "m.yaml", status=1)[1], "nowhere to keep what is found: HYPNO_CACHE is off")
    if not compiles():
        has(hypno("tune", "m.yaml", env=HERE, status=1)[1], "schedules are measured in compiled code")
        return
    has(hypno("tune", "still.yaml", env=HERE, status=1)[1], "nothing is trained")
    has(hypno("tune", "m.yaml", "--limit", "0", "--quiet", env={**ANY, "HYPNO_CACHE": "/proc/none"}, status=1)[1],
        "/proc/none/tuned cannot be written: nothing was kept")
    out, err = hypno("tune", "m.yaml", "--limit", "0", env=ANY)
    has(err, " cycle ", "kernels faster")
    has(out, "kernel:line", "kernels on", "kept")


if __name__ == "__main__":
    sys.exit(main(globals()))
