"""`./dev bench kernels`: generated kernels beside libraries and the FMA peak, which is measured with every sample.

Contractions: the nine shapes of dense models in three roles beside OpenBLAS (a plain sgemm; ours have bias and activation
or the update in them). Convolutions: oneDNN through PyTorch (bench/opponents/torch_kernels.py). What is not installed is
named and left out. Streams: maps, rows and optimizers (streams.py) beside a loop that only loads and stores as much (streams.c),
through the caches or around them, whichever is faster. Functions: elements a nanosecond of one thread, data in L2. All take
turns, round after round; a row is the median of its rounds.
"""

import argparse
import glob
import json
import math
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import streams

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ROLES = ["forward", "dX", "dW"]
CONTRACTIONS = [  # rows, inputs, outputs of a layer
    (512, 784, 512),
    (512, 512, 128),
    (512, 64, 512),
    (512, 512, 1568),
    (64, 784, 300),
    (32, 784, 128),
    (32, 128, 64),
    (32, 64, 10),
    (8, 64, 64),
]
CONVOLUTIONS = {  # in, out, size, kernel, stride, pad, images
    "bar": [(3, 32, 32, 4, 2, 1, 128), (32, 64, 16, 4, 2, 1, 128), (64, 128, 8, 4, 2, 1, 128), (128, 256, 4, 4, 2, 1, 128)],
    "more": [
        (3, 64, 32, 4, 2, 1, 64),
        (64, 128, 16, 4, 2, 1, 64),
        (128, 256, 8, 4, 2, 1, 64),
        (256, 256, 4, 4, 1, 0, 64),
        (256, 1, 4, 4, 1, 0, 64),
        (32, 64, 16, 3, 1, 1, 64),
    ],
}
MAPS = {
    "exp": ("exp(%0)", 2.5),
    "log": ("log(add(%0, 1))", 1.8),
    "tanh": ("tanh(%0)", 1.0),
    "sigmoid": ("sigmoid(%0)", None),
    "softplus": ("softplus(%0)", 0.5),
    "uniform": ("uniform01(rng(0, @1))", None),
    "normal": ("add(%0, normal(rng(0, iand(@1, -2i)), rng(0, ior(@1, 1i)), @1))", 0.5),
}
PARTS = ["contractions", "convolutions", "more", "streams", "functions"]
BLAS_RATIO, CONV_RATIO, CONV_LEAST = 1.15, 1.2, 0.9  # bars of the ratios: means of contractions, of convolutions; each


def contraction_bar(shape, threads):
    rows, inputs, columns = shape
    if threads == 2:  # of 5 us and less, half is waiting for the other thread
        return 75 if rows >= 512 else 65 if rows >= 32 and min(inputs, columns) >= 128 else None
    return 45 if columns == 10 else 85 if rows >= 64 else 75 if rows == 32 else None


def convolution_bar(shape, threads):
    least = min(shape[:2])
    return None if threads == 2 or least == 1 else 75 if least >= 64 else 68 if least >= 32 else 60


class Server:
    """A program that answers each line with one of JSON."""

    def __init__(self, command):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)
        self.hello = self.hear()

    def hear(self):
        line = self.process.stdout.readline()
        if not line:
            raise OSError(f"{Path(self.process.args[0]).name} ended")
        return json.loads(line)

    def ask(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.hear()

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)


def find_blas(python):
    """NumPy's OpenBLAS where the opponents are installed, or the system's."""
    found = glob.glob(str(python.parent.parent / "lib" / "*" / "site-packages" / "numpy.libs" / "*openblas*.so"))
    return (found + glob.glob("/usr/lib/*/libopenblas.so.0") + [None])[0]


def measure(servers, cases, rounds):
    """[{peak: %, ratio}] of the cases: rounds over all of them, and every contestant in each."""
    ours, torch = servers
    seen = [[] for _ in cases]
    for k in range(rounds):
        for i, case in enumerate(cases):
            print(f"\r  round {k + 1}/{rounds}  case {i + 1}/{len(cases)} ", end="", file=sys.stderr, flush=True)
            r = ours.ask(case["command"])
            other = torch.ask(case["command"])["seconds"] if torch and case["command"].startswith("conv") else r.get("blas")
            seen[i].append((case["flops"] / r["ours"] / r["peak"], other / r["ours"] if other else None, r["ours"]))
    print("\r" + " " * 40 + "\r", end="", file=sys.stderr)
    for case, found in zip(cases, seen):
        case["percent"] = 100 * statistics.median(f[0] for f in found)
        case["ratio"] = statistics.median(f[1] for f in found) if found[0][1] else None
        case["seconds"] = statistics.median(f[2] for f in found)
    return cases


def contractions(threads):
    return [
        {
            "name": "x".join(map(str, s)) + " " + role,
            "command": f"contraction {s[0]} {s[1]} {s[2]} {role} {threads}",
            "flops": 2 * math.prod(s),
            "bar": contraction_bar(s, threads),
        }
        for s in CONTRACTIONS
        for role in ROLES
    ]


def convolutions(threads, which):
    cases = []
    for s in CONVOLUTIONS[which]:
        cin, cout, size, kernel, stride, pad, images = s
        places = (size + 2 * pad - kernel) // stride + 1
        for role in ROLES:
            cases.append(
                {
                    "name": f"{cin}->{cout} {size}x{size} k{kernel} s{stride} b{images} {role}",
                    "command": "convolution " + " ".join(map(str, s)) + f" {role} {threads}",
                    "flops": 2 * images * cout * places**2 * cin * kernel**2,
                    "bar": convolution_bar(s, threads) if which == "bar" else None,
                }
            )
    return cases


def mean(cases):
    ratios = [c["ratio"] for c in cases if c["ratio"]]
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def report(title, cases, opponent, bar, least=None):
    """Prints the table; the number of bars that are missed."""
    missed = 0
    print(f"\n{title}\n  {'':38}{'us':>10}{'% of peak':>11}{'bar':>6}{'x ' + opponent:>16}")
    for c in cases:
        low = c["bar"] is not None and c["percent"] < c["bar"]
        slow = least is not None and c["ratio"] is not None and c["ratio"] < least
        missed += low + slow
        ratio = f"{c['ratio']:.2f}{' !' if slow else '  '}" if c["ratio"] else "-  "
        print(
            f"  {c['name']:38}{1e6 * c['seconds']:>10.1f}{c['percent']:>9.0f}{' !' if low else '  '}{c['bar'] or '-':>6}{ratio:>18}"
        )
    m = mean(cases)
    if m:
        print(f"  geometric mean {m:.2f} x {opponent}" + (f", bar {bar}" if bar else ""))
        missed += bool(bar and m < bar)
    return missed


def stream_rows(args, threads):
    """Each is timed beside the bare loop, round after round: [(name, GB/s of ours, of the loop)]."""
    for size, (rows, cols) in streams.SIZES.items():
        for name in streams.KERNELS:
            if args.match in name:
                yield f"{name}, {size}", f"stream {rows * threads} {threads} {streams.text(name, rows * threads, cols)}"


def report_streams(args, ours, threads):
    missed = 0
    print(f"\nstreams, {threads} thread{'s' if threads > 1 else ''}\n  {'':38}{'GB/s':>8}{'bare loop':>11}{'%':>6}{'bar':>6}")
    for name, command in stream_rows(args, threads):
        found = [ours.ask(command) for _ in range(args.rounds)]
        bare = [min(r["through"], r["around"]) for r in found]
        percent = statistics.median(100 * b / r["ours"] for r, b in zip(found, bare))
        rate = [statistics.median(1e-9 * r["bytes"] / t for r, t in zip(found, times)) for times in ([r["ours"] for r in found], bare)]
        low = percent < streams.BAR
        missed += low
        print(f"  {name:38}{rate[0]:>8.1f}{rate[1]:>11.1f}{percent:>6.0f}{' !' if low else '  '}{streams.BAR:>4}", flush=True)
    return missed


def report_functions(args, ours):
    missed = 0
    print(f"\nfunctions, 1 thread\n  {'':38}{'per ns':>8}{'bar':>6}")
    for name, (expression, bar) in MAPS.items():
        if args.match not in name:
            continue
        rate = statistics.median(1e-9 / ours.ask("map " + expression)["ours"] for _ in range(args.rounds))
        low = bar is not None and rate < bar
        missed += low
        print(f"  {name:38}{rate:>8.2f}{' !' if low else '  '}{bar or '-':>4}")
    return missed


def arguments(words):
    p = argparse.ArgumentParser(prog="./dev bench kernels", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--target", default="host", help="a row of target.def")
    p.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    p.add_argument("--match", default="", help="only cases with this in their name")
    p.add_argument("--python", type=Path, default=ROOT / "build" / "venv" / "bin" / "python", help="of the opponents")
    p.add_argument("--bench", type=Path, default=ROOT / "build" / "bench" / "kernel_bench")
    p.add_argument("--strict", action="store_true", help="exit 1 where a bar is missed")
    return p.parse_args(words)


def processor():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    found = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.machine()


def start(args):
    print(f"{processor()}, load {os.getloadavg()[0]:.1f}")
    blas = find_blas(args.python)
    ours = Server([str(args.bench), args.target] + ([blas] if blas else []))
    torch = None
    try:
        torch = Server([str(args.python), str(HERE / "opponents" / "torch_kernels.py")])
        print(f"oneDNN {torch.hello['oneDNN']} in PyTorch {torch.hello['torch']} ({torch.hello['isa']})")
    except OSError as why:
        print(f"oneDNN: missing, {why} (./dev bench --opponents installs it)")
    print(f"OpenBLAS: {Path(blas).name}" if ours.hello["blas"] else "OpenBLAS: missing, neither NumPy's nor the system's")
    print(f"target {ours.hello['target']}, register tile {ours.hello['tile']}, medians of {args.rounds} rounds")
    return ours, torch


def main(words):
    args = arguments(words)
    if subprocess.run(["ninja", "-C", str(ROOT / "build"), "--quiet", "kernel_bench"], check=False).returncode:
        return 1
    servers, missed = start(args), 0
    chosen = lambda cases: measure(servers, [c for c in cases if args.match in c["name"]], args.rounds)
    for threads in args.threads:
        of = f"{threads} thread{'s' if threads > 1 else ''}"
        if "contractions" in args.only:
            missed += report(f"contractions, {of}", chosen(contractions(threads)), "OpenBLAS", BLAS_RATIO)
        if "convolutions" in args.only:
            missed += report(f"convolutions, {of}", chosen(convolutions(threads, "bar")), "oneDNN", CONV_RATIO, CONV_LEAST)
        if "more" in args.only:
            report(f"more convolutions, {of}", chosen(convolutions(threads, "more")), "oneDNN", None)
        if "streams" in args.only:
            missed += report_streams(args, servers[0], threads)
    if "functions" in args.only:
        missed += report_functions(args, servers[0])
    for s in servers:
        if s:
            s.end()
    if missed:
        print(f"\n{missed} bars missed (!)")
    return 1 if args.strict and missed else 0
