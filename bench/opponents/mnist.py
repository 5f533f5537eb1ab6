"""What the twins of mnist-oscillation and mnist-global share: settings, weights, draws, and three cycles to agree with."""

import numpy as np

from common import REFERENCE, fan_in, named, read_safetensors

MODELS = ["mnist-oscillation", "mnist-global"]
LATENTS, HIDDEN, PIXELS = 64, 512, 784
NETS = dict(lr=1e-4, betas=(0.5, 0.999), weight_decay=2e-5)
CRITICS = dict(lr=4e-4, betas=(0.5, 0.999))
GROUPS = {"critics": ("D.",), "nets": ("up.", "down.")}


# ---- weights: the two heads of a population are one matrix, [mean; std], so that they are one product -------------------
def shapes(model, pixels=PIXELS, latents=LATENTS, hidden=HIDDEN):
    """name -> (rows, columns) of every linear layer, and the network ('net' or 'D') it belongs to."""
    out = {}
    for way, inputs, units in (("up", pixels, latents), ("down", latents, pixels)):
        for part, fan in (("s", inputs), ("r", units)):
            out[f"{way}.{part}.a"] = (hidden, fan)
            out[f"{way}.{part}.head"] = (2 * units, hidden)
    for d, inputs in {"mnist-oscillation": (("x", pixels), ("z", latents)), "mnist-global": (("both", pixels + latents),)}[model]:
        out |= {f"D.{d}.f1": (hidden, inputs), f"D.{d}.f2": (hidden, hidden), f"D.{d}.out": (1, hidden)}
    return out


def initial(model):
    rng, w = np.random.default_rng(1), {}
    for name, (rows, columns) in shapes(model).items():
        w[f"{name}.w"] = fan_in(rng, (rows, columns), columns)
        w[f"{name}.b"] = fan_in(rng, rows, columns)
    return w


def noise_shapes(model, batch, pixels=PIXELS, latents=LATENTS):
    normal = {
        "z_s": (batch, latents),
        "z_r": (batch, latents),
        "x_s": (batch, pixels),
        "x_r": (batch, pixels),
        "prior": (batch, latents),
    }
    return normal, {"mnist-oscillation": ("t_x", "t_z"), "mnist-global": ("t",)}[model]


# ---- the reference: the same three cycles that hypnograph is tested with -------------------------------------------------
def joined(values):
    """Weights by hypnograph path -> ours: heads joined, a critic's readout named `out`."""
    out = {}
    for path, a in values.items():
        *nodes, kind = path.split(".")
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
    folder = REFERENCE / model
    fields = {f.stem: np.load(f) for f in sorted((folder / "data").glob("*.npy"))}
    expect = read_safetensors(folder / "expect.safetensors")
    cycles = []
    for k in range(3):
        inputs = {n: a[8 * k : 8 * k + 8].astype(np.float64) for n, a in fields.items()}
        losses = [float(expect[f"cycle{k}/loss/compare.loss.{n}"]) for n in ("D", "net")]
        cycles.append((inputs, losses, joined(named(expect, f"cycle{k}/param/"))))
    start = {n: a.astype(np.float64) for n, a in joined(read_safetensors(folder / "init.safetensors")).items()}
    return start, cycles
