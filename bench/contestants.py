"""Those who take part in a contest: the opponents, which wait between their bursts; hypno, which starts anew for each; and
the processor's own FMA peak, measured in the same turns.
"""

import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
from pathlib import Path

from kernels import Server
from models import HERE, OPPONENTS, ROOT


class Missing(Exception):
    """A contestant that cannot take part, and why."""


class Opponent:
    """A program of opponents/ (protocol: opponents/common.py)."""

    def __init__(self, name, contest):
        (kind, mode), args = OPPONENTS[name], contest.args
        program = HERE / "opponents" / f"{kind}_{contest.model.twin}.py"
        if not args.python.exists():
            shown = args.python.relative_to(ROOT) if args.python.is_relative_to(ROOT) else args.python
            raise Missing(f"no {shown}: ./dev bench --opponents makes it")
        if not program.exists():
            raise Missing(f"no program: {program.relative_to(ROOT)}")
        self.patience, self.cycles = args.patience, contest.cycles
        command = [str(args.python), str(program), "--model", contest.name, "--mode", mode, "--threads", str(contest.threads)]
        command += ["--batch", str(contest.batch), "--cycles", str(self.cycles), "--warm", str(contest.warm)]
        if contest.data:
            command += ["--data", str(contest.data)]
        kept = str(ROOT / "build" / "inductor")  # torch.compile's cache: the second contest of a kind starts faster
        env = {**os.environ, "OMP_NUM_THREADS": str(contest.threads), "TORCHINDUCTOR_CACHE_DIR": kept}
        self.noise = tempfile.TemporaryFile("w+")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.noise, text=True, env=env)
        try:
            self.first = self.hear("first")
            self.versions = self.hear("ready")["versions"]
        except Missing:
            self.end()
            raise

    def hear(self, kind):
        """The next line of the program, which must be of this kind."""
        watch = threading.Timer(self.patience, self.process.kill)
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        if not line:
            self.noise.seek(0)
            said = [s.strip() for s in self.noise.read().splitlines() if s.strip()]
            raise Missing(said[-1][:160] if said else f"ended, or silent for {self.patience:.0f} s, before it was {kind}")
        values = json.loads(line)
        if values["event"] != kind:
            raise Missing(f"said {values['event']} in place of {kind}")
        return values

    def burst(self):
        try:
            self.process.stdin.write(f"{self.cycles}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # hear() finds the reason
        return self.hear("burst")["seconds_per_cycle"]

    def facts(self):
        return {key: self.first[key] for key in ("first_cycle_seconds", "peak_rss_bytes")}

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Hypno:
    """Our own binary: each of its turns is one cycle with nothing cached, then a run with what that has left in the cache.

    That run is as many cycles as opponents have done by the end of their first burst: memory is met for the first time in the
    first ones, which is why theirs are not timed. All of ours are in the median.
    """

    def __init__(self, contest):
        self.contest, self.cold, self.runs = contest, [], []
        for needed in (contest.args.hypno, contest.model.file):
            if not needed.exists():
                raise Missing(f"no {needed}")
        said = subprocess.run([str(contest.args.hypno), "version"], capture_output=True, text=True, check=False)
        self.versions = {"hypno": (said.stdout.split("\n")[0] or "?").strip()}
        with tempfile.TemporaryDirectory(prefix="hypno-bench-") as cache:
            self.run(1, cache)  # pages of the binary and of the data are read once, as the opponents have done

    def run(self, cycles, cache):
        """The summary of a run of that many cycles."""
        c, out = self.contest, tempfile.mkdtemp(prefix="hypno-bench-")
        command = [str(c.args.hypno), "train", str(c.model.file), "--cycles", str(cycles), "--threads", str(c.threads)]
        command += ["--out", str(Path(out) / "run"), "--set", f"batch={c.batch}", "--quiet", "--summary", "json"]
        command += ["--set", "probes=none"]  # opponents look at nothing either
        command += ["--data", str(c.data)] if c.data else ["--set", f"data.all.source={c.model.drawn}"]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                timeout=c.args.patience,
                check=False,
                env={**os.environ, "HYPNO_CACHE": cache},
            )
        except subprocess.TimeoutExpired:
            raise Missing(f"silent for {c.args.patience:.0f} s") from None
        finally:
            shutil.rmtree(out, ignore_errors=True)
        if done.returncode != 0:
            said = done.stderr.strip().splitlines()
            raise Missing(f"exit {done.returncode}: {said[0] if said else ''}"[:200])
        text = done.stdout
        return json.loads(text[text.rindex("\n{") if "\n{" in text else text.index("{") :])

    def burst(self):
        with tempfile.TemporaryDirectory(prefix="hypno-bench-") as cache:
            self.cold.append(self.run(1, cache))
            self.runs.append(self.run(1 + self.contest.warm + self.contest.cycles, cache))
        return self.runs[-1]["seconds_per_cycle"]

    def facts(self):
        middle = lambda runs, key: statistics.median(r.get(key) or 0 for r in runs)
        kernels = self.cold[0].get("kernels")
        return {
            "first_cycle_seconds": middle(self.runs, "first_cycle_seconds"),
            "cold_seconds": middle(self.cold, "first_cycle_seconds"),
            "peak_rss_bytes": max(middle(runs, "peak_rss_bytes") for runs in (self.cold, self.runs)),
            "kernel_seconds": middle(self.cold, "compile_seconds") * len(os.sched_getaffinity(0)) / kernels if kernels else None,
        }

    def end(self):
        pass


class Peak:
    """FLOP a second of nothing but FMA, by kernel_bench."""

    def __init__(self, contest):
        self.threads = contest.threads
        make = ["ninja", "-C", str(ROOT / "build"), "--quiet", "kernel_bench"]
        if subprocess.run(make, stdout=subprocess.DEVNULL, check=False).returncode:
            raise Missing("kernel_bench does not build")
        try:
            self.server = Server([str(ROOT / "build" / "bench" / "kernel_bench"), "host"])
        except OSError as why:
            raise Missing(str(why)) from None

    def burst(self):
        said = self.server.ask(f"peak {self.threads}")
        if "peak" not in said:
            raise Missing(f"no peak at {self.threads} threads")
        return said["peak"]

    def end(self):
        self.server.end()
