"""What `./dev bench` trains, and what the project promises of it: one row a model."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PAPERS = ROOT / "graphs" / "papers"

OPPONENTS = {  # name -> the prefix of its programs, its mode
    "torch eager": ("torch", "eager"),
    "torch.compile": ("torch", "compile"),
    "JAX": ("jax", "jit"),
}
DENSE, CONVOLUTIONAL = {1: 0.80, 2: 0.72}, {1: 0.72, 2: 0.64}  # of the FMA peak, by threads
COLD, WARM = 1.0, 0.15  # seconds to the end of the first cycle: nothing cached; cached, beside the cycle itself
KERNEL = 0.015  # seconds to compile a kernel on one thread
MEMORY = 3  # times less than PyTorch


@dataclass(frozen=True)
class Model:
    file: Path
    batch: int
    cycles: int  # of a burst: a second or two
    gflop: float  # useful, a cycle at that batch: the cheapest exact count
    twin: str  # opponents/torch_TWIN.py and jax_TWIN.py
    source: str  # of its data, and what is drawn where there are no files
    drawn: str
    faster: dict  # than the best opponent, times, by threads
    of_peak: dict  # useful FLOP a second, by threads


def paper(name, *row):
    return Model(PAPERS / name, *row)


def our(name, *row):
    return Model(HERE / "models" / name, *row)


DIGITS, PHOTOS = ("mnist", "digits"), ("cifar10", "shapes")
AWS = "adversarial-wake-sleep"
MODELS = {
    "mnist-oscillation": paper(f"{AWS}/mnist-oscillation.yaml", 512, 8, 19.17, "mnist", *DIGITS, {1: 1.2, 2: 1.3}, DENSE),
    "mnist-global": paper(f"{AWS}/mnist-global.yaml", 512, 8, 16.7, "mnist", *DIGITS, {1: 1.15, 2: 1.3}, DENSE),
    "pad": paper("dreaming/pad.yaml", 64, 4, 37.38, "pad", *PHOTOS, {1: 1.25, 2: 1.25}, CONVOLUTIONAL),
    "cifar-six": paper(f"{AWS}/cifar-six.yaml", 128, 2, 125.9, "cifar_six", *PHOTOS, {1: 2.0, 2: 2.0}, CONVOLUTIONAL),
    "mlp": our("mlp.yaml", 128, 100, 0.411, "classify", *DIGITS, {1: 1.3, 2: 1.4}, DENSE),
    "encoder": our("encoder.yaml", 128, 8, 13.32, "classify", *PHOTOS, {1: 1.1, 2: 1.2}, CONVOLUTIONAL),
}


@dataclass(frozen=True)
class Bar:
    what: str
    have: float
    must: float
    unit: str
    most: bool = False  # `must` is an upper limit

    @property
    def kept(self):
        return self.have <= self.must if self.most else self.have >= self.must

    @property
    def gap(self):
        """How far from the bar, as a share of it."""
        return self.have / self.must - 1 if self.most else 1 - self.have / self.must


def bars(model, threads, rows):
    """What can be said of this contest's rows; only where those it takes are there."""
    ours, out = rows.get("hypno"), []
    others = {n: r for n, r in rows.items() if n != "hypno"}
    if not ours:
        return out
    mine = ours["seconds_per_cycle"]
    if others and threads in model.faster:
        best = min(others, key=lambda n: others[n]["seconds_per_cycle"])
        out.append(Bar(f"faster than {best}", others[best]["seconds_per_cycle"] / mine, model.faster[threads], "x"))
    if ours["of_peak"] and threads in model.of_peak:
        out.append(Bar("useful FLOP/s of the FMA peak", 100 * ours["of_peak"], 100 * model.of_peak[threads], "%"))
    out.append(Bar("first cycle from process start, nothing cached", ours["cold_seconds"], COLD, "s", True))
    out.append(Bar("first cycle from process start, warm cache", ours["first_cycle_seconds"], WARM + mine, "s", True))
    if ours["kernel_seconds"]:
        out.append(Bar("compiling, a kernel and thread", 1000 * ours["kernel_seconds"], 1000 * KERNEL, "ms", True))
    torch = [r["peak_rss_bytes"] for n, r in others.items() if n.startswith("torch")]
    if torch:
        out.append(Bar("less memory than PyTorch", min(torch) / ours["peak_rss_bytes"], MEMORY, "x"))
    return out
