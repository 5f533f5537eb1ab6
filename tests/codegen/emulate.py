#!/usr/bin/env python3
"""Kernels for another processor, compiled, linked and run under user-mode emulation, against the interpreter's bits.

    emulate.py CASES RUN TARGET FIRST COUNT

CASES: the program emulate_cases; RUN: emulate_run.c. Exit 77, with the reason, where a tool is not installed.
No row of AVX-512: the emulator translates AVX2 at most.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = {"neon": ("aarch64-linux-gnu-gcc", "qemu-aarch64")}  # compiler and emulator of each target


def main():
    cases, run, target, first, count = sys.argv[1:6]
    compiler, emulator = TOOLS[target]
    for tool in (compiler, emulator):
        if not shutil.which(tool):
            print(f"skipped: no {tool} (Debian: gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)")
            return 77
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([cases, folder, target, first, count], check=True)
        program = f"{folder}/run"
        code = sorted(map(str, Path(folder).glob("k*.s")))
        build = [compiler, "-std=gnu11", "-O1", "-static", f"-I{folder}", f"-I{ROOT}", "-o", program, run, *code]
        subprocess.run(build, check=True)
        return subprocess.run([emulator, program, f"{folder}/cases.bin"], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
