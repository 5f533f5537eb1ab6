"""What the twins of PAD share: settings, weights, draws, and three cycles to agree with (tests/reference/pad)."""

import numpy as np

from common import REFERENCE, Batches, cifar, fan_in, named, read_safetensors

MODELS = ["pad"]
WIDTH, LATENTS = 64, 256
ADAM = dict(lr=2e-4, betas=(0.5, 0.999))
GROUPS = {"E": ("E.",), "G": ("G.",)}
HEADS = ["E.z", "E.d"]  # convolutions of a 4x4 image: products


def shapes(width=WIDTH, latents=LATENTS):
    """Layers by hypnograph path -> maps of the weight: out x in of convolutions, in x out of transposed ones."""
    return {
        "E.h1": (width, 3),
        "E.h2": (2 * width, width),
        "E.h3": (4 * width, 2 * width),
        "E.z": (latents, 4 * width),
        "E.d": (1, 4 * width),
        "G.h1": (latents, 4 * width),
        "G.h2": (4 * width, 2 * width),
        "G.h3": (2 * width, width),
        "G": (width, 3),
    }


def initial():
    rng, w = np.random.default_rng(1), {}
    for path, maps in shapes().items():
        units = maps[0 if path.startswith("E.") else 1]
        w[f"{path}.weight"] = (0.02 * rng.standard_normal((*maps, 4, 4))).astype(np.float32)
        w[f"{path}.bias"] = fan_in(rng, units, 16 * maps[1])
    return w


def mask(p, tile, u):
    """[32, 32]: 0 on the tiles of a grid whose number lies below p. u: numbers, one a tile, row by row in [32, 32]."""
    across = -(-32 // tile)
    seen = (u.reshape(-1)[: across**2] >= p).reshape(across, across)
    return np.repeat(np.repeat(seen, tile, 0), tile, 1)[:32, :32].astype(np.float32)


def share(first):
    """What of this cycle's latents and of the last one's is in a REM dream; an epoch's first cycle has nothing old."""
    return np.array([0.5, 0.0] if first else [0.25, 0.25], np.float32)


class Draws:
    """A cycle's inputs but its normal noise: images (bytes), occlusion, shares."""

    def __init__(self, args):
        self.images, _ = cifar(args.data)
        self.batches, self.rng = Batches(len(self.images), args.batch), np.random.default_rng(2)

    def next(self):
        rows, first = self.batches.next()
        occlusion = mask(self.rng.random(), int(self.rng.integers(1, 9)), self.rng.random((32, 32)))
        return {"image": self.images[rows], "mask": occlusion, "share": share(first)}


def reference():
    """(initial weights, cycles of (inputs, losses, weights after)) of tests/reference, the narrow model's."""
    folder = REFERENCE / "pad"
    fields = {f.stem: np.load(f) for f in sorted((folder / "data").glob("*.npy"))}
    expect, cycles = read_safetensors(folder / "expect.safetensors"), []
    scaled = lambda a: np.float64(np.float32(2 * np.float64(a) - 1))
    for k in range(3):
        rows, one = slice(8 * k, 8 * k + 8), {n: a[8 * k] for n, a in fields.items()}
        inputs = {
            "image": scaled(fields["image"][rows] / 255),
            "eps": scaled(fields["eps"][rows]),
            "mask": mask(one["p"], int(one["tile"]), (one["u"].astype(np.float64) + 128) / 256),
            "share": share(k == 0),
        }
        losses = [float(expect[f"cycle{k}/loss/{n}"]) for n in ("wake.E, G", "nrem.E", "rem.L_rem")]
        cycles.append((inputs, losses, named(expect, f"cycle{k}/param/")))
    return read_safetensors(folder / "init.safetensors"), cycles
