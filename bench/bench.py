#!/usr/bin/env python3
"""Times hypno against PyTorch and JAX: the same models, interleaved in one run, medians of bursts. Standard library only.

    ./dev bench                            # what is installed takes part; what is not is named with the reason
    ./dev bench --opponents                # first puts the opponents into build/venv
    ./dev bench --models oscillation --threads 2 --rounds 9
    ./dev bench kernels                    # single kernels beside OpenBLAS, oneDNN and the FMA peak (kernels.py)

The machine is rarely alone, so that two programs timed one after the other say little: every opponent is started, trains until
it is warm, and waits; then the contestants take turns, one burst each, in a new order every round. hypno has no waiting
state and starts anew for each of its bursts, so each of them also measures the time to the first cycle.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import kernels

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
MODELS = ROOT / "graphs" / "papers" / "adversarial-wake-sleep"
OPPONENTS = {  # name -> program, mode
    "torch eager": ("torch_mnist.py", "eager"),
    "torch.compile": ("torch_mnist.py", "compile"),
    "JAX": ("jax_mnist.py", "jit"),
}
FIRST_CYCLE_BAR = 1.5  # seconds, mnist-oscillation at 2 threads
MEMORY_BAR = 3  # times less than PyTorch


class Missing(Exception):
    """A contestant that cannot take part, and why."""


# ---- contestants -----------------------------------------------------------------------------------------------------
class Opponent:
    """A program of opponents/ that waits between bursts (protocol: opponents/common.py)."""

    def __init__(self, python, name, args, model, threads):
        program, mode = OPPONENTS[name]
        if not python.exists():
            raise Missing(
                f"no {python.relative_to(ROOT) if python.is_relative_to(ROOT) else python}: ./dev bench --opponents makes it"
            )
        command = [
            str(python),
            str(HERE / "opponents" / program),
            "--model",
            model,
            "--mode",
            mode,
            "--threads",
            str(threads),
        ]
        command += ["--batch", str(args.batch), "--cycles", str(args.cycles)]
        if args.data:
            command += ["--data", str(args.data)]
        kept = str(ROOT / "build" / "inductor")  # torch.compile's cache: the second contest of a kind starts faster
        env = {**os.environ, "OMP_NUM_THREADS": str(threads), "TORCHINDUCTOR_CACHE_DIR": kept}
        self.noise = tempfile.TemporaryFile("w+")
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.noise, text=True, env=env)
        try:
            self.first = self.hear("first", args.patience)
            self.versions = self.hear("ready", args.patience)["versions"]
        except Missing:
            self.end()
            raise

    def hear(self, kind, patience):
        """The next line of the program, which must be of this kind."""
        watch = threading.Timer(patience, self.process.kill)
        watch.start()
        line = self.process.stdout.readline()
        watch.cancel()
        if not line:
            self.noise.seek(0)
            said = [s.strip() for s in self.noise.read().splitlines() if s.strip()]
            raise Missing(said[-1][:160] if said else f"ended, or silent for {patience} s, before it was {kind}")
        values = json.loads(line)
        if values["event"] != kind:
            raise Missing(f"said {values['event']} in place of {kind}")
        return values

    def burst(self, args):
        try:
            self.process.stdin.write(f"{args.cycles}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # hear() finds the reason
        return self.hear("burst", args.patience)["seconds_per_cycle"]

    def facts(self):
        return {
            "first_cycle_seconds": self.first["first_cycle_seconds"],
            "peak_rss_bytes": self.first["peak_rss_bytes"],
        }

    def end(self):
        if self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Hypno:
    """Our own binary: one short run for each burst."""

    def __init__(self, args, model, threads):
        self.model, self.threads, self.runs = MODELS / f"mnist-{model}.yaml", threads, []
        for needed in (args.hypno, self.model):
            if not needed.exists():
                raise Missing(f"no {needed}: ./dev build")
        said = subprocess.run([str(args.hypno), "version"], capture_output=True, text=True, check=False)
        self.versions = {"hypno": (said.stdout.split("\n")[0] or "?").strip()}
        self.burst(args)  # pages of the binary and of the data are read once, as the opponents have done
        self.runs.clear()

    def burst(self, args):
        out = tempfile.mkdtemp(prefix="hypno-bench-")
        command = [
            str(args.hypno),
            "train",
            str(self.model),
            "--cycles",
            str(args.cycles),
            "--threads",
            str(self.threads),
        ]
        command += ["--out", str(Path(out) / "run"), "--set", f"batch={args.batch}", "--quiet", "--summary", "json"]
        command += ["--data", str(args.data)] if args.data else ["--set", "data.all.source=digits"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=args.patience, check=False)
        except subprocess.TimeoutExpired:
            raise Missing(f"silent for {args.patience} s") from None
        finally:
            shutil.rmtree(out, ignore_errors=True)
        said = done.stderr.strip().splitlines()
        if done.returncode != 0:
            raise Missing(f"exit {done.returncode}: {said[0] if said else ''}"[:200])
        text = done.stdout
        self.runs.append(json.loads(text[text.rindex("\n{") if "\n{" in text else text.index("{") :]))
        return self.runs[-1]["seconds_per_cycle"]

    def facts(self):
        middle = lambda key: statistics.median(r[key] for r in self.runs)
        return {
            "first_cycle_seconds": middle("first_cycle_seconds"),
            "peak_rss_bytes": middle("peak_rss_bytes"),
            "compile_seconds": middle("compile_seconds") if "compile_seconds" in self.runs[0] else None,
        }

    def end(self):
        pass


# ---- one contest -----------------------------------------------------------------------------------------------------
def enter(args, model, threads):
    """All that can take part, started and warm; and the others with their reasons."""
    inside, missing = {}, {}
    for name in ["hypno", *OPPONENTS]:
        if args.only and name not in args.only:
            continue
        try:
            inside[name] = (
                Hypno(args, model, threads) if name == "hypno" else Opponent(args.python, name, args, model, threads)
            )
        except Missing as why:
            missing[name] = str(why)
        print(f"  {name}: {'missing: ' + missing[name] if name in missing else 'ready'}", file=sys.stderr, flush=True)
    return inside, missing


def contest(args, model, threads):
    print(f"mnist-{model}, batch {args.batch}, {threads} thread(s)", file=sys.stderr, flush=True)
    inside, missing = enter(args, model, threads)
    times = {name: [] for name in inside}
    try:
        for k in range(args.rounds):
            names = list(inside)
            for name in names[k % len(names) :] + names[: k % len(names)] if names else []:
                try:
                    times[name].append(inside[name].burst(args))
                except Missing as why:
                    missing[name] = str(why)
                    inside.pop(name).end()
        rows = {
            name: {
                **c.facts(),
                "seconds_per_cycle": statistics.median(times[name]),
                "bursts": times[name],
                "versions": c.versions,
            }
            for name, c in inside.items()
        }
    finally:
        for c in inside.values():
            c.end()
    return {
        "model": model,
        "threads": threads,
        "batch": args.batch,
        "rows": rows,
        "missing": missing,
        "bars": bars(model, threads, rows),
    }


def bars(model, threads, rows):
    """What the project promises, as (what, ours, limit, kept); only where both sides took part."""
    ours, out = rows.get("hypno"), []
    others = {n: r for n, r in rows.items() if n != "hypno"}
    if not ours:
        return out
    if others:
        best = min(others, key=lambda n: others[n]["seconds_per_cycle"])
        limit = others[best]["seconds_per_cycle"]
        out.append(
            (f"time of a cycle against {best}", ours["seconds_per_cycle"], limit, ours["seconds_per_cycle"] <= limit)
        )
    torch = [r["peak_rss_bytes"] for n, r in others.items() if n.startswith("torch")]
    if torch:
        limit = min(torch) / MEMORY_BAR
        out.append(
            (
                "peak memory against a third of PyTorch's",
                ours["peak_rss_bytes"],
                limit,
                ours["peak_rss_bytes"] < limit,
            )
        )
    if model == "oscillation" and threads == 2:
        first = ours["first_cycle_seconds"]
        out.append(("first cycle, from process start", first, FIRST_CYCLE_BAR, first < FIRST_CYCLE_BAR))
    return out


# ---- report ----------------------------------------------------------------------------------------------------------
def machine():
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "processor": model,
        "processors": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }


def quantity(what, value):
    return (
        f"{value / 2**20:.0f} MiB"
        if "memory" in what
        else f"{value:.3f} s" if "first" in what else f"{1000 * value:.1f} ms"
    )


def table(result):
    lines = [f"mnist-{result['model']}, batch {result['batch']}, {result['threads']} thread(s)"]
    lines.append(f"  {'':15}{'ms/cycle':>10}{'fastest':>10}{'to hypno':>10}{'1st cycle s':>13}{'peak MiB':>10}")
    ours = result["rows"].get("hypno", {}).get("seconds_per_cycle")
    for name, r in result["rows"].items():
        ratio = f"{r['seconds_per_cycle'] / ours:.2f}" if ours else "-"
        cells = [f"{1000 * r['seconds_per_cycle']:.1f}", f"{1000 * min(r['bursts']):.1f}", ratio]
        cells += [f"{r['first_cycle_seconds']:.2f}", f"{r['peak_rss_bytes'] / 2**20:.0f}"]
        lines.append(f"  {name:15}" + "".join(f"{c:>{w}}" for c, w in zip(cells, (10, 10, 10, 13, 10))))
    lines += [f"  {name:15} missing: {why}" for name, why in result["missing"].items()]
    for what, value, limit, kept in result["bars"]:
        lines.append(
            f"  {'kept  ' if kept else 'MISSED'} {what}: {quantity(what, value)}, limit {quantity(what, limit)}"
        )
    return "\n".join(lines)


def versions(results):
    found = {}
    for result in results:
        for r in result["rows"].values():
            found |= r["versions"]
    return ", ".join(f"{name} {v}" for name, v in sorted(found.items()))


# ---- command line ----------------------------------------------------------------------------------------------------
def install(python):
    """The opponents into their virtual environment; what is there is kept."""
    folder = python.parent.parent
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    subprocess.run(
        [str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / "opponents" / "requirements.txt")],
        check=True,
    )


def find_data():
    for folder in (os.environ.get("HYPNO_DATA"), ROOT.parent / "shared" / "data"):
        if folder and (Path(folder) / "mnist").exists():
            return Path(folder)
    return None


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words = lambda text: [w for w in text.split(",") if w]
    p.add_argument("--models", type=words, default=["oscillation", "global"], help="oscillation,global")
    p.add_argument("--threads", type=lambda t: [int(w) for w in words(t)], default=[1, 2], help="1,2")
    p.add_argument("--batch", type=int, default=512)
    p.add_argument("--rounds", type=int, default=7, help="bursts of each contestant")
    p.add_argument("--cycles", type=int, default=8, help="cycles of a burst")
    p.add_argument(
        "--data",
        type=Path,
        default=find_data(),
        help="folder with mnist/ (default: $HYPNO_DATA, ../shared/data; else drawn digits and noise)",
    )
    p.add_argument("--hypno", type=Path, default=ROOT / "build" / "hypno")
    p.add_argument("--python", type=Path, default=ROOT / "build" / "venv" / "bin" / "python", help="of the opponents")
    p.add_argument("--opponents", action="store_true", help="install the opponents into build/venv first")
    p.add_argument("--only", type=words, default=None, help="contestants: hypno,torch eager,torch.compile,JAX")
    p.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json")
    p.add_argument("--patience", type=float, default=600, help="seconds until a silent contestant is given up")
    p.add_argument("--strict", action="store_true", help="exit 1 where a bar is missed")
    return p.parse_args()


def main():
    if sys.argv[1:2] == ["kernels"]:
        return kernels.main(sys.argv[2:])
    args = arguments()
    if args.opponents:
        install(args.python)
    here = machine()
    results = [contest(args, model, threads) for model in args.models for threads in args.threads]
    print(
        f"{here['processor']}, {here['processors']} processors, {here['system']}, load {here['load']:.1f} at the start"
    )
    print(versions(results) or "nothing took part")
    print(
        f"medians of {args.rounds} interleaved bursts of {args.cycles} cycles; opponents' memory is that at the end of their first cycle, torch.compile's first cycle may come from its cache"
    )
    print("\n\n".join(table(r) for r in results))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(
        json.dumps({"machine": here, "data": str(args.data) if args.data else None, "results": results}, indent=1)
        + "\n"
    )
    missed = [b for r in results for b in r["bars"] if not b[3]]
    return 1 if args.strict and missed else 0


if __name__ == "__main__":
    sys.exit(main())
