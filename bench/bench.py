#!/usr/bin/env python3
"""Times training cycles of hypno, PyTorch and JAX: the same models, interleaved in one run, medians of bursts.

    ./dev bench                            # all models; what is installed takes part, what is not is named with the reason
    ./dev bench --opponents                # first puts the opponents into build/venv
    ./dev bench --models pad,mlp --threads 2 --rounds 9
    ./dev bench kernels                    # single kernels beside OpenBLAS, oneDNN and the FMA peak (kernels.py)

The machine is rarely alone, so that two programs timed one after the other say little: every opponent is started, trains until
it is warm, and waits; then the contestants take turns, one burst each, in a new order every round. hypno has no waiting
state and starts anew in each of its turns: once with nothing cached, for one cycle, and once with what that has left in the
cache, for as many cycles as the opponents have then done. The processor's FMA peak is measured in the same turns. Packed data are unpacked first, once.

models.py has the table of models with their batch, useful FLOP and bars; a bar that is missed is told with its gap and fails
nothing without --strict. Opponents are programs of opponents/; each proves with --check that it computes the same three
cycles, in double, as tests/reference or a plain program. Standard library only.
"""

import argparse
import gzip
import json
import lzma
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import kernels
from contestants import Hypno, Missing, Opponent, Peak
from models import HERE, MODELS, OPPONENTS, ROOT, bars


# ---- one contest -----------------------------------------------------------------------------------------------------
class Contest:
    """One model at one number of threads."""

    def __init__(self, args, name, threads):
        self.args, self.name, self.threads, self.model = args, name, threads, MODELS[name]
        self.data = args.data if args.data and (args.data / self.model.source).is_dir() else None
        self.batch, self.cycles = args.batch or self.model.batch, args.cycles or self.model.cycles
        self.warm = min(5, self.cycles)  # cycles before the first burst, beside the very first one
        self.gflop = self.model.gflop * self.batch / self.model.batch
        self.title = f"{name}, batch {self.batch}, {threads} thread{'s' if threads > 1 else ''}"
        self.inside, self.missing, self.times = {}, {}, {}

    def enter(self):
        """All that can take part, started and warm; and the others with their reasons."""
        print(self.title, file=sys.stderr, flush=True)
        for name in ["FMA peak", "hypno", *OPPONENTS]:
            if self.args.only and name not in self.args.only and name != "FMA peak":
                continue
            try:
                kind = {"FMA peak": Peak, "hypno": Hypno}.get(name)
                self.inside[name] = kind(self) if kind else Opponent(name, self)
                self.times[name] = []
            except Missing as why:
                self.missing[name] = str(why)
            state = f"missing: {self.missing[name]}" if name in self.missing else "ready"
            print(f"  {name}: {state}", file=sys.stderr, flush=True)

    def turn(self, name):
        try:
            self.times[name].append(self.inside[name].burst())
        except Missing as why:
            self.missing[name] = str(why)
            self.inside.pop(name).end()

    def row(self, name):
        """What a contestant has shown. A share of the peak is that of the same round."""
        bursts, c, peaks = self.times[name], self.inside[name], self.times.get("FMA peak", [])
        shares = [1e9 * self.gflop / t / peak for t, peak in zip(bursts, peaks)]
        return {
            **c.facts(),
            "seconds_per_cycle": statistics.median(bursts),
            "of_peak": statistics.median(shares) if shares else None,
            "bursts": bursts,
            "versions": c.versions,
        }

    def run(self):
        self.enter()
        try:
            for k in range(self.args.rounds):
                names = list(self.inside)
                shift = k % max(1, len(names))
                for name in names[shift:] + names[:shift]:
                    self.turn(name)
            rows = {name: self.row(name) for name in self.inside if name != "FMA peak"}
        finally:
            for c in self.inside.values():
                c.end()
        return {
            "model": self.name,
            "title": self.title,
            "threads": self.threads,
            "batch": self.batch,
            "cycles": self.cycles,
            "peak": statistics.median(self.times["FMA peak"]) if self.times.get("FMA peak") else None,
            "rows": rows,
            "missing": self.missing,
            "bars": [asdict(b) | {"kept": b.kept, "gap": b.gap} for b in bars(self.model, self.threads, rows)],
        }


# ---- report ----------------------------------------------------------------------------------------------------------
def machine():
    return {
        "processor": kernels.processor(),
        "processors": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
    }


COLUMNS = [("ms/cycle", 11), ("fastest", 10), ("to hypno", 10), ("% of peak", 11), ("1st cycle s", 13), ("peak MiB", 10)]


def cells(r, ours):
    yield f"{1000 * r['seconds_per_cycle']:.1f}"
    yield f"{1000 * min(r['bursts']):.1f}"
    yield f"{r['seconds_per_cycle'] / ours:.2f}" if ours else "-"
    yield f"{100 * r['of_peak']:.0f}" if r["of_peak"] else "-"
    yield f"{r['first_cycle_seconds']:.2f}"
    yield f"{r['peak_rss_bytes'] / 2**20:.0f}"


def told(b):
    state = "kept  " if b["kept"] else "MISSED"
    gap = "" if b["kept"] else f", {100 * b['gap']:.0f} % {'over' if b['most'] else 'short'}"
    return f"  {state} {b['what']}: {b['have']:.3g} {b['unit']}, {'at most' if b['most'] else 'at least'} {b['must']:.3g}{gap}"


def table(result):
    lines = [result["title"] + (f", FMA peak {result['peak'] / 1e9:.0f} GFLOP/s" if result["peak"] else "")]
    lines.append(f"  {'':15}" + "".join(f"{title:>{width}}" for title, width in COLUMNS))
    ours = result["rows"].get("hypno", {}).get("seconds_per_cycle")
    for name, r in result["rows"].items():
        lines.append(f"  {name:15}" + "".join(f"{c:>{width}}" for c, (_, width) in zip(cells(r, ours), COLUMNS)))
    lines += [f"  {name:15} missing: {why}" for name, why in result["missing"].items()]
    return "\n".join(lines + [told(b) for b in result["bars"]])


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


def unpacked(data):
    """The data's folder with every file as it is inside its .gz or .xz: starts are compared, not unpackers."""
    out = ROOT / "build" / "bench-data"
    for packed in sorted(f for source in ("mnist", "cifar10") for f in (data / source).glob("*") if f.is_file()):
        opener = {".gz": gzip.open, ".xz": lzma.open}.get(packed.suffix, open)
        plain = out / packed.parent.name / (packed.name if opener is open else packed.stem)
        if not plain.exists():
            plain.parent.mkdir(parents=True, exist_ok=True)
            with opener(packed, "rb") as f:
                plain.with_suffix(".part").write_bytes(f.read())
            plain.with_suffix(".part").rename(plain)
    return out


def words_of(known):
    def parse(text):
        out = [w for w in text.split(",") if w]
        for w in out:
            if w not in known:
                raise argparse.ArgumentTypeError(f"no `{w}` among {','.join(known)}")
        return out

    return parse


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--models", type=words_of(MODELS), default=list(MODELS), help=",".join(MODELS))
    p.add_argument("--threads", type=lambda t: [int(w) for w in t.split(",")], default=[1, 2], help="1,2")
    p.add_argument("--batch", type=int, default=None, help="in place of the table's")
    p.add_argument("--rounds", type=int, default=7, help="bursts of each contestant")
    p.add_argument("--cycles", type=int, default=None, help="cycles of a burst, in place of the table's")
    p.add_argument(
        "--data",
        type=Path,
        default=find_data(),
        help="folder with mnist/ and cifar10/ (default: $HYPNO_DATA, ../shared/data; else drawn images and noise)",
    )
    p.add_argument("--hypno", type=Path, default=ROOT / "build" / "hypno")
    p.add_argument("--python", type=Path, default=ROOT / "build" / "venv" / "bin" / "python", help="of the opponents")
    p.add_argument("--opponents", action="store_true", help="install the opponents into build/venv first")
    p.add_argument("--only", type=words_of(["hypno", *OPPONENTS]), default=None, help="hypno," + ",".join(OPPONENTS))
    p.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json", help="file for all that was measured")
    p.add_argument("--patience", type=float, default=600, help="seconds until a silent contestant is given up")
    p.add_argument("--strict", action="store_true", help="exit 1 where a bar is missed")
    args = p.parse_args()
    if args.out.is_dir():
        p.error(f"--out {args.out}: a folder, not a file")
    return args


def main():
    if sys.argv[1:2] == ["kernels"]:
        return kernels.main(sys.argv[2:])
    args = arguments()
    if args.opponents:
        install(args.python)
    if args.data:
        args.data = unpacked(args.data)
    here, results = machine(), []
    print(f"{here['processor']}, {here['processors']} processors, {here['system']}, load {here['load']:.1f} at the start")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for name in args.models:
        for threads in args.threads:
            results.append(Contest(args, name, threads).run())
            print(table(results[-1]), flush=True)
            seen = {"machine": here, "data": bool(args.data), "results": results}
            args.out.write_text(json.dumps(seen, indent=1) + "\n")
    print(versions(results) or "nothing took part")
    print(
        f"medians of {args.rounds} interleaved bursts; hypno's first cycle here is that with a warm cache, torch.compile's may come"
        " from its own; opponents' memory is that at the end of their first cycle"
    )
    missed = [b for r in results for b in r["bars"] if not b["kept"]]
    return 1 if args.strict and missed else 0


if __name__ == "__main__":
    sys.exit(main())
