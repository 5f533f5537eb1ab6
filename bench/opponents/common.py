"""What the opponents share: command line, MNIST, reference files, process figures, and the protocol of the bench.

Protocol: a program trains one cycle, says so (the line `first`), warms up, prints `ready`, and from then on answers each line
on its standard input with one timed burst of cycles, one JSON object a line. A number on the line is the burst's length. At
the end of its input it prints `done` and goes. So the bench can let all programs wait but one, and go round.
"""

import argparse
import gzip
import json
import os
import resource
import statistics
import struct
import sys
import time
from pathlib import Path

import numpy as np

LATENTS, HIDDEN, PIXELS = 64, 512, 784
LR, LR_CRITIC, DECAY, BETA1, BETA2, EPS = 1e-4, 4e-4, 2e-5, 0.5, 0.999, 1e-8
REFERENCE = Path(__file__).resolve().parents[2] / "tests" / "reference"


def arguments(modes, about):
    p = argparse.ArgumentParser(description=about)
    p.add_argument("--model", choices=["oscillation", "global"], default="oscillation")
    p.add_argument("--mode", choices=modes, default=modes[0])
    p.add_argument("--batch", type=int, default=512)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--cycles", type=int, default=10, help="cycles of a burst")
    p.add_argument("--warm", type=int, default=5, help="cycles before the first burst")
    p.add_argument("--data", default=None, help="folder with train-images-idx3-ubyte(.gz); noise images where absent")
    p.add_argument("--once", action="store_true", help="one burst, then end: standard input is not read")
    p.add_argument(
        "--check", action="store_true", help="three cycles against tests/reference in double, nothing is timed"
    )
    return p.parse_args()


def since_start():
    """Seconds since this process started, from the kernel's books (10 ms steps)."""
    fields = Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def pin(threads):
    """The process to its first `threads` processors: for a runtime that counts processors and has no switch."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, allowed[:threads])


def peak_rss():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def mnist(folder, batch):
    """Training images [N, 784] in [0, 1]; without a folder, noise of the same shape (times do not depend on the pixels)."""
    if folder is None:
        return np.random.default_rng(0).random((10000, PIXELS), dtype=np.float32)
    for where in (Path(folder), Path(folder) / "mnist"):
        for name, opener in (("train-images-idx3-ubyte.gz", gzip.open), ("train-images-idx3-ubyte", open)):
            if (where / name).exists():
                with opener(where / name, "rb") as f:
                    magic, count, rows, columns = struct.unpack(">4i", f.read(16))
                    raw = np.frombuffer(f.read(), np.uint8)
                assert magic == 2051 and raw.size == count * rows * columns
                return (raw.reshape(count, rows * columns) / np.float32(255)).astype(np.float32)
    sys.exit(f"no train-images-idx3-ubyte(.gz) in {folder}")


class Batches:
    """Rows of a full batch, shuffled each pass; the short last one is left out (bursts then have equal cycles)."""

    def __init__(self, count, batch):
        self.count, self.batch, self.rng, self.at = count, batch, np.random.default_rng(0), count
        self.order = None

    def next(self):
        if self.at + self.batch > self.count:
            self.order, self.at = self.rng.permutation(self.count), 0
        rows = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        return rows


# ---- weights: the two heads of a population are one matrix, [mean; std], so that they are one product -------------------
def shapes(model, pixels=PIXELS, latents=LATENTS, hidden=HIDDEN):
    """name -> (rows, columns) of every linear layer, and the network ('net' or 'D') it belongs to."""
    out = {}
    for way, inputs, units in (("up", pixels, latents), ("down", latents, pixels)):
        for part, fan in (("s", inputs), ("r", units)):
            out[f"{way}.{part}.a"] = (hidden, fan)
            out[f"{way}.{part}.head"] = (2 * units, hidden)
    for d, inputs in {"oscillation": (("x", pixels), ("z", latents)), "global": (("both", pixels + latents),)}[model]:
        out |= {f"D.{d}.f1": (hidden, inputs), f"D.{d}.f2": (hidden, hidden), f"D.{d}.out": (1, hidden)}
    return out


def initial(model):
    rng, w = np.random.default_rng(1), {}
    for name, (rows, columns) in shapes(model).items():
        bound = columns**-0.5
        w[f"{name}.w"] = rng.uniform(-bound, bound, (rows, columns)).astype(np.float32)
        w[f"{name}.b"] = rng.uniform(-bound, bound, rows).astype(np.float32)
    return w


def noise_shapes(model, batch, pixels=PIXELS, latents=LATENTS):
    normal = {
        "z_s": (batch, latents),
        "z_r": (batch, latents),
        "x_s": (batch, pixels),
        "x_r": (batch, pixels),
        "prior": (batch, latents),
    }
    return normal, {"oscillation": ("t_x", "t_z"), "global": ("t",)}[model]


# ---- the reference: the same three cycles that hypnograph is tested with -------------------------------------------------
def read_safetensors(path):
    raw = Path(path).read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    head, body = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    kinds = {"F32": np.float32, "F64": np.float64}
    return {
        name: np.frombuffer(body[slice(*e["data_offsets"])], kinds[e["dtype"]]).reshape(e["shape"])
        for name, e in head.items()
        if name != "__metadata__"
    }


def joined(values, prefix=""):
    """Weights by hypnograph path -> ours: heads joined, a critic's readout named `out`."""
    out = {}
    for path, a in values.items():
        if not path.startswith(prefix):
            continue
        *nodes, kind = path[len(prefix) :].split(".")
        nodes = [n for k, n in enumerate(nodes) if not (k == 1 and nodes[0] != "D")]  # up.z.s.a -> up.s.a
        if nodes[0] == "D" and len(nodes) == 2:
            nodes.append("out")
        if nodes[-1] == "std":
            continue
        if nodes[-1] == "mean":
            a, nodes[-1] = np.concatenate([a, values[path.replace(".mean.", ".std.")]]), "head"
        out[".".join(nodes) + "." + kind[0]] = a
    return out


def reference(model):
    """(initial weights, cycles of (inputs, losses, weights after)) of tests/reference."""
    folder = REFERENCE / f"mnist-{model}"
    fields = {f.stem: np.load(f) for f in sorted((folder / "data").glob("*.npy"))}
    expect = read_safetensors(folder / "expect.safetensors")
    cycles = []
    for k in range(3):
        inputs = {n: a[8 * k : 8 * k + 8].astype(np.float64) for n, a in fields.items()}
        losses = [float(expect[f"cycle{k}/loss/compare.loss.{n}"]) for n in ("D", "net")]
        cycles.append((inputs, losses, joined(expect, f"cycle{k}/param/")))
    start = {n: a.astype(np.float64) for n, a in joined(read_safetensors(folder / "init.safetensors")).items()}
    return start, cycles


def check(model, start, step):
    """`start(weights)`, then `step(inputs)` -> losses, weights; all in double. Ends the process."""
    weights, cycles = reference(model)
    start(weights)
    for k, (inputs, losses, after) in enumerate(cycles):
        have_losses, have = step(inputs)
        assert set(have) == set(after)
        top = sum(float(((have[n] - after[n]) ** 2).sum()) for n in after)
        gap = (top / sum(float((a**2).sum()) for a in after.values())) ** 0.5
        gaps = [abs(a - b) / abs(b) for a, b in zip(have_losses, losses)] + [gap]
        print(json.dumps({"cycle": k, "relative": gaps}))
        assert max(gaps) < 1e-9, "differs from tests/reference"
    print("equal to tests/reference")
    sys.exit(0)


# ---- the protocol ----------------------------------------------------------------------------------------------------
def say(kind, **values):
    print(json.dumps({"event": kind, **values}), flush=True)


def burst(cycle, count):
    seconds = []
    for _ in range(count):
        begin = time.perf_counter()
        cycle()
        seconds.append(time.perf_counter() - begin)
    say(
        "burst",
        cycles=count,
        seconds_per_cycle=statistics.median(seconds),
        fastest=min(seconds),
        seconds=seconds,
        peak_rss_bytes=peak_rss(),
    )


def serve(args, versions, cycle):
    """`cycle()` trains one whole cycle and returns when its work is done."""
    cycle()
    say("first", first_cycle_seconds=since_start(), peak_rss_bytes=peak_rss())
    for _ in range(args.warm):
        cycle()
    say("ready", model=args.model, mode=args.mode, batch=args.batch, threads=args.threads, versions=versions)
    if args.once:
        burst(cycle, args.cycles)
    else:
        for line in sys.stdin:
            burst(cycle, int(line) if line.strip().isdigit() else args.cycles)
    say("done", peak_rss_bytes=peak_rss())
