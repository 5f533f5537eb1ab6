#!/usr/bin/env python3
"""Runs that are killed, starved of memory or refused their files, through the command.

    faults.py HYPNO [alloc] [io] [kill] [cache] [mounts] [--points N] [--kills N] [--seed N] [--jobs N]

Whatever happens, `hypno` ends by itself with 0 or 1 (unless it is killed), and resuming gives
the files of the run that nothing happened to, byte by byte.  --points 0 takes every failing
call, else about N of them; --kills: random moments at which the run gets SIGKILL.  mounts: the
cache of compiled kernels on file systems that are read-only or full, in a mount namespace of its
own; exit 77, with the reason, where none can be made.
Standard library only.
"""
import argparse
import copy
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

MODEL = """hypnograph: 1
name: faults
settings: {batch: 12, lr: 1e-2}
data:
  all:    {source: npy, batch: $batch, order: random}
  given:  {}
networks:
  look(x):
    return: ~normal(linear(x, 3), softplus(linear(x, 3)))
  draw(z):
    return: linear(tanh(linear(z, 5)), 7)
phases:
  wake:
    nodes:
      x:     given.x
      error: squared_distance(draw(look(x)), x)
    update:
      - look, draw: error
optimizers:
  look, draw: adam(lr=$lr)
schedule: {epochs: 6, cycle: [wake]}
probes:
  error: {value: wake.error}
"""
# What a resumed run must have in common with one that was never stopped.
RESULTS = ["checkpoint.safetensors", "metrics.csv", "metrics.jsonl"]
PATIENCE = 120


def write_npy(path, rows, columns):
    r = random.Random(1)
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (rows, columns)
    head += " " * (117 - len(head)) + "\n"
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
        f.write(struct.pack("<%df" % (rows * columns), *(r.uniform(-1, 1) for _ in range(rows * columns))))


class Faults:
    def __init__(self, hypno, work):
        self.hypno, self.work = os.path.abspath(hypno), work
        self.model = os.path.join(work, "model.yaml")
        self.data = os.path.join(work, "data")
        os.mkdir(self.data)
        with open(self.model, "w", encoding="utf-8") as f:
            f.write(MODEL)
        write_npy(os.path.join(self.data, "x.npy"), 64, 7)
        self.run = os.path.join(work, "run")
        self.half = os.path.join(work, "half")  # a run of half the length, to be resumed
        self.want = None
        self.backend = "interp"
        self.cache_folder = "off"  # never the user's
        self.cold = False  # without what is in the cache

    def beside(self, k):
        """One like this whose run and cache are its own, to work at the same time."""
        other = copy.copy(self)
        other.run = f"{self.run}-{k}"
        if self.cache_folder != "off":
            other.cache_folder = f"{self.cache_folder}-{k}"
        return other

    def command(self, verb):
        if verb == "check":
            return [self.hypno, "check", self.model, "--data", self.data]
        where = ["--resume", self.run] if verb == "resume" else ["--out", self.run]
        return [self.hypno, "train", self.model, "--data", self.data, "--backend", self.backend,
                "--threads", "1", "--quiet"] + where

    def start(self, verb, **env):
        return subprocess.Popen(self.command(verb), env={**os.environ, "HYPNO_CACHE": self.cache_folder, **env},
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def call(self, verb, **env):
        p = self.start(verb, **env)
        out, _ = p.communicate(timeout=PATIENCE)
        return p.returncode, out.decode("utf-8", "replace")

    def forget(self):
        shutil.rmtree(self.run, ignore_errors=True)

    def results(self):
        found = {}
        for name in RESULTS:
            with open(os.path.join(self.run, name), "rb") as f:
                found[name] = f.read()
        return found

    def reference(self):
        self.forget()
        code, out = self.call("train")
        assert code == 0, f"the run itself fails with {code}:\n{out}"
        self.want = self.results()

    def first_half(self):
        self.forget()
        subprocess.run(self.command("train") + ["--epochs", "3"], check=True, stdout=subprocess.DEVNULL,
                       timeout=PATIENCE)
        os.rename(self.run, self.half)

    def check_resumed(self, what):
        """Resume without a fault and compare."""
        code, out = self.call("resume")
        assert code == 0, f"{what}: --resume ends with {code}:\n{out}"
        got = self.results()
        for name in RESULTS:
            assert got[name] == self.want[name], f"{what}: {name} is not that of the uninterrupted run"

    def prepare(self, verb):
        """What is there before `verb` runs: for resume a run of half the length."""
        self.forget()
        if self.cold:
            shutil.rmtree(self.cache_folder, ignore_errors=True)
        if verb == "resume":
            shutil.copytree(self.half, self.run)

    def fail_at(self, verb, variable, n):
        """True if the call was never made and all went well."""
        self.prepare(verb)
        what = f"{variable}={n} hypno {verb}"
        code, out = self.call(verb, **{variable: str(n)})
        assert code in (0, 1), f"{what} ends with {code}:\n{out}"
        assert code == 0 or out.strip(), f"{what} fails without a word"
        if verb != "check":
            self.check_resumed(what)
        return code == 0

    def sweep(self, verb, variable, points, jobs):
        last = 1
        while not self.fail_at(verb, variable, last):
            last *= 2
        if points == 0:
            tried = range(1, last)
        else:
            tried = sorted({last // 2 + 1 + k * (last // 2) // (points + 1) for k in range(points)})

        def share(k):
            mine = self.beside(k)
            for n in tried[k::jobs]:
                mine.fail_at(verb, variable, n)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(share, range(jobs)))
        print(f"{variable} {verb}: {len(tried)} points of at most {last}", flush=True)

    def kill(self, times, rng):
        start = time.monotonic()
        self.reference()
        took = time.monotonic() - start
        begun = 0
        for k in range(times):
            self.forget()
            p = self.start("train")
            moment = rng.uniform(0, took)
            try:
                p.wait(moment)
            except subprocess.TimeoutExpired:
                os.kill(p.pid, signal.SIGKILL)
            p.communicate()
            begun += os.path.exists(os.path.join(self.run, RESULTS[0]))
            self.check_resumed(f"kill -9 after {moment:.3f} s (number {k})")
        print(f"kill -9: {times} moments, {begun} of them after the first checkpoint", flush=True)

    def cache(self, points, jobs):
        """Compiled kernels that are written, and read back."""
        self.backend = "llvm"
        self.cache_folder = os.path.join(self.work, "cache")
        for variable in ("HYP_FAIL_ALLOC", "HYP_FAIL_IO"):
            for self.cold in (True, False):
                self.sweep("train", variable, points, jobs)

    def compiled(self):
        """The kernels that a run compiles; it has to end well, without a word, with the same files."""
        self.forget()
        p = subprocess.run(self.command("train") + ["--summary", "json"], timeout=PATIENCE, capture_output=True, check=False,
                           env={**os.environ, "HYPNO_CACHE": self.cache_folder})
        assert p.returncode == 0 and not p.stderr, f"with the cache {self.cache_folder}: {p.returncode}\n{p.stderr.decode()}"
        assert self.results() == self.want, f"with the cache {self.cache_folder}: the results differ"
        return json.loads(p.stdout)["compiled_kernels"]

    def entries(self):
        folder = os.path.join(self.cache_folder, "objects")
        return {e.name: (e.stat().st_size, e.stat().st_mtime_ns) for e in os.scandir(folder)}

    def read_only(self):
        self.cache_folder = os.path.join(self.work, "cache")
        os.mkdir(self.cache_folder)
        all_kernels = self.compiled()
        assert len(self.entries()) == all_kernels
        mount("--bind", self.cache_folder, self.cache_folder)
        mount("-o", "remount,ro,bind", self.cache_folder)
        filled = self.entries()
        assert self.compiled() == 0, "a read-only cache that has all kernels is not used"
        assert self.entries() == filled
        print(f"read-only: {all_kernels} kernels are taken from there", flush=True)
        return all_kernels

    def full(self, all_kernels):
        self.cache_folder = os.path.join(self.work, "small")
        os.mkdir(self.cache_folder)
        mount("-t", "tmpfs", "-o", "size=32k", "none", self.cache_folder)
        assert self.compiled() == all_kernels
        kept = self.entries()
        assert 0 < len(kept) < all_kernels, f"{len(kept)} of {all_kernels} kernels fit"
        assert all(len(name) == 64 for name in kept), f"something is left behind: {kept.keys()}"
        assert self.compiled() == all_kernels - len(kept), "what fitted is not used"
        assert self.entries().keys() >= kept.keys()
        print(f"full: {len(kept)} of {all_kernels} kernels fit and are used", flush=True)

    def mounts(self):
        """Inside a mount namespace of its own."""
        self.backend = "llvm"
        try:
            self.full(self.read_only())
        finally:
            for name in ("cache", "small"):
                subprocess.run(["umount", os.path.join(self.work, name)], capture_output=True, check=False)

    def refused_folders(self):
        """A run folder that cannot be made is a mistake, told in words."""
        self.forget()
        in_the_way = os.path.join(self.work, "file")
        open(in_the_way, "w").close()
        self.run, run = os.path.join(in_the_way, "run"), self.run
        code, out = self.call("train")
        assert code == 1 and out.strip(), f"a file in the way: {code}\n{out}"
        self.run = run


def mount(*args):
    subprocess.run(["mount", *args], check=True)


def namespaced(args):
    """This program once more, where it may mount: its exit status."""
    alone = ["unshare", "--map-root-user", "--mount"]
    with tempfile.TemporaryDirectory() as probe:
        try:
            p = subprocess.run([*alone, "mount", "-t", "tmpfs", "none", probe], capture_output=True, text=True, check=False)
            why = p.stderr.strip()
        except OSError as e:
            why = str(e)
    if why:
        print(f"mounts skipped: {why}", flush=True)
        return 77
    return subprocess.run([*alone, sys.executable, __file__, *args], check=False).returncode


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("hypno")
    p.add_argument("what", nargs="*", help="alloc, io, kill, cache, mounts; none: all")
    p.add_argument("--points", type=int, default=6)
    p.add_argument("--kills", type=int, default=5)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--jobs", type=int, default=1)
    p.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)  # the namespace
    a = p.parse_args()
    what = a.what or ["alloc", "io", "kill", "cache", "mounts"]
    if "mounts" in what and not a.inside:
        status = namespaced([a.hypno, "mounts", "--inside"])
        if status not in (0, 77) or what == ["mounts"]:
            return status
    print(f"seed {a.seed}", flush=True)
    with tempfile.TemporaryDirectory() as work:
        f = Faults(a.hypno, work)
        f.first_half()
        f.reference()
        f.refused_folders()
        for name, variable in (("alloc", "HYP_FAIL_ALLOC"), ("io", "HYP_FAIL_IO")):
            for verb in ("check", "train", "resume") if name in what else ():
                f.sweep(verb, variable, a.points, a.jobs)
        if "kill" in what:
            f.kill(a.kills, random.Random(a.seed))
        if "cache" in what:
            f.cache(a.points, a.jobs)
        if "mounts" in what and a.inside:
            f.mounts()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AssertionError as e:
        print(f"FAILED: {e}", file=sys.stderr)
        sys.exit(1)
