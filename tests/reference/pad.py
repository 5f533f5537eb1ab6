#!/usr/bin/env python3
"""Three whole cycles of perturbed and adversarial dreaming in PyTorch, in double: the reference values of pad/.

    python pad.py             # expect.safetensors from the inputs that are stored beside it
    python pad.py --inputs    # draws the inputs again first (images, noise, weights): the same bytes every time
    python pad.py --check     # computes, compares with what is stored, writes nothing
    python pad.py --twin      # also in float32, and prints how far that lies from double

The training loop is that of the paper's published code as the framework of its time ran it: three losses, detached
replays, a gradient reversal behind the generator, and gradients that are zeroed, not removed, between the phases. README.md
says what the files hold.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import load_file

from common import as_f32, leaky, save
from generate import distance

HERE = Path(__file__).resolve().parent / "pad"
BATCH, CYCLES = 8, 3
NARROW, SHIPPED = (4, 6), (64, 256)  # channels of the first layer, latents
PHASES = ("wake", "nrem", "rem")
ROWS = 4  # numbers kept of a tensor of the shipped shapes


def shapes(width, latents):
    """Weights by path: convolutions out x in, transposed ones in x out; the bias has as many as there are maps."""
    conv = {"E.h1": (width, 3), "E.h2": (2 * width, width), "E.h3": (4 * width, 2 * width)}
    conv |= {"E.z": (latents, 4 * width), "E.d": (1, 4 * width)}
    up = {"G.h1": (latents, 4 * width), "G.h2": (4 * width, 2 * width), "G.h3": (2 * width, width), "G": (width, 3)}
    out = {}
    for path, maps in {**conv, **up}.items():
        out[f"{path}.weight"] = (*maps, 4, 4)
        out[f"{path}.bias"] = (maps[0] if path in conv else maps[1],)
    return out


# ---- inputs ----------------------------------------------------------------------------------------------------------
def blobs(rng, count):
    """Coloured blobs on a coloured ground, bytes."""
    at = np.stack(np.meshgrid(np.arange(32), np.arange(32), indexing="ij"), 0)[None]
    image = rng.uniform(0, 1, (count, 3, 1, 1)) * np.ones((1, 1, 32, 32))
    for _ in range(4):
        middle, size = rng.uniform(0, 32, (count, 2, 1, 1)), rng.uniform(20, 120, (count, 1, 1))
        blob = np.exp(-((at - middle) ** 2).sum(1) / size)[:, None]
        image = image * (1 - blob) + blob * rng.uniform(0, 1, (count, 3, 1, 1))
    return np.round(image * 255).astype(np.uint8)


def make_inputs():
    """p and tile are one number a batch; u, the tiles' numbers, is stored as k - 128 of k / 256, and p lies between these.
    The source's scale, [-1, 1], is for images and noise alike: noise is stored as (1 + noise) / 2.
    """
    rng = np.random.default_rng(11)
    count = BATCH * CYCLES
    (HERE / "data").mkdir(parents=True, exist_ok=True)
    batchwise = lambda values: np.repeat(values, BATCH, 0)
    fields = {
        "image": blobs(rng, count),
        "label": rng.integers(0, 10, count).astype(np.int32),
        "p": batchwise(as_f32(np.array([77, 201, 333]) / 512)),
        "tile": batchwise(np.array([3, 8, 5], np.int32)),
        "u": batchwise(rng.integers(-128, 128, (CYCLES, 32, 32)).astype(np.int8)),
        "eps": as_f32((1 + rng.standard_normal((count, NARROW[1]))) / 2),
        "eps_shipped": as_f32((1 + rng.standard_normal((count, SHIPPED[1]))) / 2),
    }
    for name, a in fields.items():
        np.save(HERE / "data" / f"{name}.npy", a)
    scale = lambda s: 0.1 if len(s) == 1 else 0.2
    save(HERE / "init.safetensors", {p: as_f32(scale(s) * rng.standard_normal(s)) for p, s in shapes(*NARROW).items()})


def scrambled(n, stream):
    """32 bits for each of n elements: what the tests compute too, instead of reading 3,419,268 weights from a file."""
    x = np.arange(n, dtype=np.uint64) + (np.uint64(stream) << np.uint64(32))
    x = (x ^ (x >> np.uint64(31))) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return (x >> np.uint64(32)).astype(np.int64)


def shipped_weights():
    """Uniform in +-1/32, in the order of shapes()."""
    out = {}
    for stream, (path, s) in enumerate(shapes(*SHIPPED).items()):
        k = scrambled(int(np.prod(s)), stream) >> 8
        out[path] = as_f32((k - 2**23) / 2.0**28).reshape(s)
    return out


# ---- the model -------------------------------------------------------------------------------------------------------
def trunk(w, x):
    for layer in ("E.h1", "E.h2", "E.h3"):
        x = leaky(F.conv2d(x, w[f"{layer}.weight"], w[f"{layer}.bias"], stride=2, padding=1))
    return x


def z_head(w, h):
    return F.conv2d(h, w["E.z.weight"], w["E.z.bias"], stride=2).flatten(1)


def d_head(w, h):
    return torch.sigmoid(F.conv2d(h, w["E.d.weight"], w["E.d.bias"], stride=2)).flatten(1)


def dream(w, z):
    x = F.conv_transpose2d(z[:, :, None, None], w["G.h1.weight"], w["G.h1.bias"])
    for layer in ("G.h2", "G.h3", "G"):
        x = F.conv_transpose2d(leaky(x), w[f"{layer}.weight"], w[f"{layer}.bias"], stride=2, padding=1)
    return torch.tanh(x)


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return -g


def bce(p, target):
    return F.binary_cross_entropy(p, torch.full_like(p, target))


def kl(z):
    m, s = z.mean(0), z.std(0)
    return ((s**2 + m**2) / 2 - torch.log(s) - 0.5).mean()


def occlude(x, p, tile, u):
    """Tile by tile, from the top left corner; one mask for the batch."""
    out, across = x.clone(), -(-x.shape[3] // tile)
    for top in range(0, x.shape[2], tile):
        for left in range(0, x.shape[3], tile):
            k = (top // tile) * across + left // tile
            if u[k // x.shape[3], k % x.shape[3]] < p:
                out[:, :, top : top + tile, left : left + tile] = 0
    return out


# ---- the cycle -------------------------------------------------------------------------------------------------------
class Condition:
    """What a row of the ablations changes: sums over a sample's elements, NREM's weight, whether there is REM, the deviation of
    noise in wake, whether NREM replays (and is taught) the mixture that REM dreams of.
    """

    def __init__(self, sums=False, nrem=1.0, rem=True, noise=0.0, from_mix=False, skip=False):
        self.sums, self.nrem, self.rem, self.noise, self.from_mix, self.skip = sums, nrem, rem, noise, from_mix, skip


TEXT = round(0.5**0.5, 8)  # the text's noise has a variance of 0.5
CONDITIONS = {
    "text_scale": Condition(sums=True),
    "without_rem_text": Condition(nrem=0.5, rem=False, noise=TEXT),
    "wake_only_text": Condition(nrem=0.0, rem=False, noise=TEXT),
    "nrem_from_mix": Condition(from_mix=True),
}


def error(x, y, sums, of):
    """The mean over elements; with sums, that of the samples' sums over as many elements as the shipped model has (`of`)."""
    square = (x - y) ** 2
    return square.sum() / len(x) * (of / square[0].numel()) if sums else square.mean()


class Dreamer:
    def __init__(self, weights, dtype, how):
        self.w = {p: torch.nn.Parameter(torch.tensor(a, dtype=dtype)) for p, a in weights.items()}
        adam = lambda net: torch.optim.Adam(
            [p for path, p in self.w.items() if path.startswith(net)], lr=2e-4, betas=(0.5, 0.999), foreach=False
        )
        self.E, self.G, self.how, self.skip = adam("E."), adam("G."), how, how.skip
        self.Z_old = None

    def update(self, loss, *optimizers):
        """The loss, and what the optimizers are given: no gradient is None (skipped) or zeros, as the framework leaves it."""
        for o in (self.E, self.G):
            o.zero_grad(set_to_none=self.skip)
        loss.backward()
        mine = [p for o in optimizers for g in o.param_groups for p in g["params"]]
        given = {path: p.grad.clone() for path, p in self.w.items() if any(p is m for m in mine) and p.grad is not None}
        for o in optimizers:
            o.step()
        return loss.detach(), given

    def cycle(self, x, first, eps, p, tile, u):
        """Loss and gradients of each phase."""
        w, how = self.w, self.how
        h = trunk(w, x)
        z, d = z_head(w, h), d_head(w, h)
        wake = error(dream(w, z + how.noise * eps), x, how.sums, 3 * 32 * 32) + kl(z)
        out = {"wake": self.update(wake + bce(d, 1.0) if how.rem else wake, self.E, self.G)}
        Z = z.detach()  # of the encoder before its step
        mix = (Z / 2 if first or not how.rem else Z / 4 + self.Z_old / 4) + eps / 2

        replayed = mix if how.from_mix else Z
        zr = z_head(w, trunk(w, occlude(dream(w, replayed).detach(), p, tile, u)))
        out["nrem"] = self.update(how.nrem * error(zr, replayed, how.sums, SHIPPED[1]), self.E)
        if not how.rem:
            return out

        out["rem"] = self.update(bce(d_head(w, trunk(w, Reverse.apply(dream(w, mix)))), 0.0), self.E, self.G)
        self.Z_old = Z
        return out


LOSS = {"wake": "wake.E, G", "nrem": "nrem.E", "rem": "rem.L_rem"}


def run(weights, eps, dtype, how=Condition()):
    """Losses, gradients and weights of three cycles of the first epoch."""
    torch.set_default_dtype(dtype)
    data = {n: np.load(HERE / "data" / f"{n}.npy") for n in ("image", "p", "tile", "u", eps)}
    images = torch.tensor(as_f32(2 * (data["image"] / 255) - 1), dtype=dtype)
    noise = torch.tensor(as_f32(2 * np.float64(data[eps]) - 1), dtype=dtype)
    model, out = Dreamer(weights, dtype, how), {}
    for k in range(CYCLES):
        rows = slice(k * BATCH, (k + 1) * BATCH)
        one = lambda n: data[n][k * BATCH]
        u = (one("u").astype(np.float64) + 128) / 256
        for phase, (loss, grads) in model.cycle(images[rows], k == 0, noise[rows], one("p"), int(one("tile")), u).items():
            out[f"cycle{k}/loss/{LOSS[phase]}"] = loss
            out.update({f"cycle{k}/grad/{phase}/{path}": g for path, g in grads.items()})
        out.update({f"cycle{k}/param/{path}": p.detach().clone() for path, p in model.w.items()})
    torch.set_default_dtype(torch.float64)
    return {key: v.numpy() for key, v in out.items()}


# ---- what is kept ----------------------------------------------------------------------------------------------------
def narrow(dtype):
    """All of a run with zeroed gradients; of one with skipped weights, what it ends with."""
    init = load_file(str(HERE / "init.safetensors"))
    out = {k: v for k, v in run(init, "eps", dtype).items() if "/grad/" not in k or v.any()}
    last = f"cycle{CYCLES - 1}/param/"
    out.update({f"skip/{k}": v for k, v in run(init, "eps", dtype, Condition(skip=True)).items() if k.startswith(last)})
    return out


def sketches(prefix, values):
    """Of every tensor its norm and its products with four rows of random signs."""
    out = {}
    for key, v in values.items():
        flat = np.float64(v).reshape(-1)
        if "/loss/" in key:
            out[f"{prefix}/{key}"] = flat.reshape(v.shape)
        elif flat.any():
            bits = scrambled(flat.size, 1000)
            sketch = [flat @ np.where(bits >> r & 1, 1.0, -1.0) for r in range(ROWS)]
            out[f"{prefix}/{key}"] = np.array([np.sqrt(flat @ flat), *sketch])
    return out


def sketched(dtype):
    """The shipped shapes; conditions, narrow."""
    init = load_file(str(HERE / "init.safetensors"))
    out = sketches("shipped", run(shipped_weights(), "eps_shipped", dtype))
    for name, how in CONDITIONS.items():
        out |= sketches(name, run(init, "eps", dtype, how))
    return out


def report_twin(values):
    have = {**narrow(torch.float32), **sketched(torch.float32)}
    for key in values:
        off = np.float64(have[key]) - values[key]
        is_sketch = key.split("/")[0] in ("shipped", *CONDITIONS) and "/loss/" not in key
        size = values[key][0] if is_sketch else np.sqrt((values[key] ** 2).sum())
        print(f"  {key:40} {np.sqrt((off**2).mean() if is_sketch else (off**2).sum()) / size:.1e}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--inputs", action="store_true", help="draw images, noise and weights again")
    p.add_argument("--check", action="store_true", help="compare with the stored values, write nothing")
    p.add_argument("--twin", action="store_true", help="print the distance of a float32 run")
    args = p.parse_args()
    if args.inputs:
        make_inputs()
    values = {**narrow(torch.float64), **sketched(torch.float64)}
    assert all(np.isfinite(v).all() for v in values.values())
    if args.twin:
        report_twin(values)
    path = HERE / "expect.safetensors"
    if not args.check:
        save(path, values)
        print(f"{len(values)} values, torch {torch.__version__}, numpy {np.__version__}")
        return 0
    stored = load_file(str(path))
    assert stored.keys() == values.keys()
    gap = max(distance({k: values[k]}, {k: stored[k]}) for k in stored)
    print(f"{len(stored)} values, largest relative distance {gap:.1e}")
    return 0 if gap < 1e-11 else 1


if __name__ == "__main__":
    sys.exit(main())
