"""What the opponents share: command line, data, reference files, process figures, and the protocol of the bench.

Protocol: a program trains one cycle, says so (the line `first`), warms up, prints `ready`, and from then on answers each line
on its standard input with one timed burst of cycles, one JSON object a line. A number on the line is the burst's length. At
the end of its input it prints `done` and goes. So the bench can let all programs wait but one, and go round.
"""

import argparse
import gzip
import json
import lzma
import os
import resource
import statistics
import struct
import sys
import time
from pathlib import Path

import numpy as np

EPS = 1e-8  # Adam's
REFERENCE = Path(__file__).resolve().parents[2] / "tests" / "reference"


def arguments(models, modes, about):
    p = argparse.ArgumentParser(description=about)
    p.add_argument("--model", choices=models, default=models[0])
    p.add_argument("--mode", choices=modes, default=modes[0])
    p.add_argument("--batch", type=int, default=128)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--cycles", type=int, default=10, help="cycles of a burst")
    p.add_argument("--warm", type=int, default=5, help="cycles before the first burst")
    p.add_argument("--data", default=None, help="folder with mnist/ and cifar10/; noise where absent")
    p.add_argument("--once", action="store_true", help="one burst, then end: standard input is not read")
    p.add_argument(
        "--check", action="store_true", help="three cycles against known values in double, nothing is timed"
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


# ---- data ------------------------------------------------------------------------------------------------------------
PACKED = {".gz": gzip.open, ".xz": lzma.open, "": open}


def find(folder, source, name):
    """The bytes of a file in `folder` or `folder/source`, packed or not; None if it is not there."""
    for where in (Path(folder), Path(folder) / source):
        for ending, opener in PACKED.items():
            if (where / f"{name}{ending}").exists():
                with opener(where / f"{name}{ending}", "rb") as f:
                    return f.read()
    return None


def mnist(folder):
    """Training images [N, 784], bytes, and labels; without a folder, noise (times do not depend on the pixels)."""
    if folder is None:
        return noise(784)
    images, labels = (find(folder, "mnist", f"train-{n}-ubyte") for n in ("images-idx3", "labels-idx1"))
    if not images or not labels:
        sys.exit(f"no train-images-idx3-ubyte(.gz) or no train-labels-idx1-ubyte(.gz) in {folder}")
    magic, count, rows, columns = struct.unpack(">4i", images[:16])
    assert magic == 2051 and len(images) == 16 + count * rows * columns and len(labels) == 8 + count
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(count, rows * columns)
    return pixels, np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)


def cifar(folder):
    """Training images [N, 3, 32, 32], bytes, and labels, of the batches that are there; without a folder, noise."""
    if folder is None:
        return noise(3, 32, 32)
    raw = b"".join(find(folder, "cifar10", f"data_batch_{k}.bin") or b"" for k in range(1, 6))
    if not raw:
        sys.exit(f"no data_batch_1.bin(.xz) in {folder}")
    records = np.frombuffer(raw, np.uint8).reshape(-1, 3073)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0].astype(np.int64)


def noise(*shape):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (10000, *shape), np.uint8), rng.integers(0, 10, 10000)


class Batches:
    """Rows of a full batch, shuffled each pass; the short last one is left out (bursts then have equal cycles)."""

    def __init__(self, count, batch):
        self.count, self.batch, self.rng, self.at = count, batch, np.random.default_rng(0), count
        self.order = None

    def next(self):
        """The rows, and whether they begin a pass."""
        first = self.at + self.batch > self.count
        if first:
            self.order, self.at = self.rng.permutation(self.count), 0
        rows = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        return rows, first


# ---- known values ----------------------------------------------------------------------------------------------------
def fan_in(rng, shape, fan):
    return rng.uniform(-(fan**-0.5), fan**-0.5, shape).astype(np.float32)


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


def named(values, prefix):
    """Those whose name begins so, under what is left of it."""
    return {n[len(prefix) :]: a for n, a in values.items() if n.startswith(prefix)}


def check(case, start, step):
    """`case`: initial weights, and of each cycle its inputs, losses and weights after it. `start(weights)`, then
    `step(inputs)` -> losses, weights; all in double. Ends the process.
    """
    weights, cycles = case
    start({n: np.float64(a) for n, a in weights.items()})
    for k, (inputs, losses, after) in enumerate(cycles):
        have_losses, have = step(inputs)
        assert set(have) == set(after), set(have) ^ set(after)
        top = sum(float(((have[n] - after[n]) ** 2).sum()) for n in after)
        moved = sum(float(((after[n] - weights[n]) ** 2).sum()) for n in after)
        gaps = [abs(a - b) / abs(b) for a, b in zip(have_losses, losses, strict=True)]
        print(json.dumps({"cycle": k, "losses": gaps, "steps": (top / moved) ** 0.5}))
        assert max(gaps) < 1e-9 and (top / moved) ** 0.5 < 1e-7, "computes something else"
    print("equal")
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
