#!/usr/bin/env python3
"""A processor without AVX2, emulated: no code runs there, the interpreter does, and the command says so.

Cases as in harness.py. Exit 77, with the reason, where the emulator is not installed or cannot run this build.
"""
import platform
import shutil
import subprocess
import sys

import harness
from harness import HYPNO, MODEL, equal, has, main, read, write

EMULATOR = "qemu-x86_64"
OLD = [EMULATOR, "-cpu", "Westmere"]


def why_not():
    """What is missing, if anything is."""
    if platform.machine() != "x86_64":
        return f"{EMULATOR} runs no program of this machine ({platform.machine()})"
    if not shutil.which(EMULATOR):
        return f"no {EMULATOR} (Debian: qemu-user)"
    run = subprocess.run([*OLD, HYPNO, "version"], capture_output=True, text=True, check=False, timeout=60)
    return run.returncode and f"{EMULATOR} cannot run this build: {run.stderr.strip()[-200:]}"


def old(*args, status=0):
    run = subprocess.run([*OLD, HYPNO, *args], capture_output=True, text=True, check=False, timeout=300)
    equal((run.returncode, args), (status, args))
    return run.stdout, run.stderr


def with_llvm():
    return "built without llvm" not in harness.hypno("doctor")[0]


def test_doctor():
    out, _ = old("doctor")
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if len(line.split()) > 1)
    has(lines["target"], "none: no code runs here; the interpreter")
    has(lines["features"], "none that code would use")
    has(out, "back ends    interp (default), interp64; ", "this processor is too old" if with_llvm() else "built without llvm")
    assert "llvm (default)" not in out, out


def test_train():
    """The same bits; one warning, of one line and what to do."""
    write("m.yaml", MODEL)
    args = ("train", "m.yaml", "--threads", "2", "--cycles", "3", "--quiet")
    harness.hypno(*args, "--out", "here")
    _, err = old(*args, "--out", "old")
    equal(read("old/checkpoint.safetensors", "rb"), read("here/checkpoint.safetensors", "rb"))
    equal(read("old/metrics.csv"), read("here/metrics.csv"))
    if not with_llvm():
        equal(err, "")
        return
    warning, hint = err.splitlines()
    has(warning, "warning[W0709]", "this machine runs no code of ours: the model runs in the interpreter")
    has(hint, "AVX2", "`hypno doctor`")
    _, err = old(*args, "--out", "asked", "--backend", "interp")
    equal(err, "")
    _, err = old(*args, "--out", "none", "--backend", "llvm", status=1)
    has(err, "no back end `llvm` for this machine", "it needs AVX2")


if __name__ == "__main__":
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(77)
    sys.exit(main(globals()))
