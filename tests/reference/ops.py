#!/usr/bin/env python3
"""The library's losses, objectives and penalties: values, first and second derivatives, by PyTorch in double.

    python ops.py            # writes ops/: model.yaml, data/*.npy, init.safetensors, expect.safetensors
    python ops.py --check    # computes from the stored inputs, compares, writes nothing

One table, CASES, gives each case its expression in the model language and an independent one in torch; the model file is
printed from it. README.md says how the values are named.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from common import (
    as_f32,
    batch_norm,
    critic,
    critic_shapes,
    draw_weights,
    interpolated,
    leaky,
    linear,
    linear_shapes,
    pixel_norm,
    save,
    softplus,
)

HERE = Path(__file__).resolve().parent / "ops"
BATCH, X, Z, WIDTH, CLASSES = 8, 6, 5, 7, 4
LAYERS = (6, 5, 4, 3, 2, 3)  # G4 weights six layers
TITLE = ("ops.py", "reference-ops", "Losses, objectives and penalties of the library, with first and second derivatives.")

NETWORKS = """\
  plain: critic(_, 7)
  pixel(h):
    f1:     leaky_relu(pixel_norm(linear(flatten(h), 7)), 0.2)
    f2:     leaky_relu(pixel_norm(linear(f1, 7)), 0.2)
    return: linear(f2, 1)
  normed(h):
    a:      linear(flatten(h), 7)
    b:      batch_norm(a)
    f1:     leaky_relu(b, 0.2)
    return: linear(f1, 1)
  smooth(h):                              # curved everywhere: its own second derivatives are not 0
    f1:     tanh(linear(flatten(h), 7))
    f2:     softplus(linear(f1, 7))
    return: linear(f2, 1)
  deep: critic(_, 7)
  reader(image):                          # G6: an inference network, then a readout
    h:      tanh(linear(image, 7))
    return: linear(h, 1)
"""

FUNCTIONS = """\
  given_interpolated(critic, wake, other, t): mean((norm(slope_of(critic, t * wake + (1 - t) * other)) - 1)**2)
  nt_xent_slope(a, b, tau):               # its closed form, rows of a above those of b
    h:      concat(as_axis(a), as_axis(b))
    u:      unit_norm(h, over=1)
    l:      matmul(u, transpose(u)) / tau - 1e9 * eye(dim(h, 0))
    chosen: exp(l - along(logsumexp(l, over=1), l, 0))
    s:      (matmul(chosen + transpose(chosen), u) - 2 * roll(u, batch_size)) / (2 * batch_size * tau)
    return: (s - u * along(sum(s * u, over=1), u, 0)) / along(norm(h, over=1), u, 0)
  given_circle(a, b, t):
    w:      acos(clip(sum(unit_norm(a) * unit_norm(b), over=units), -1, 1))
    return: where(sin(w) == 0, (1 - t) * a + t * b, (sin((1 - t) * w) * a + sin(t * w) * b) / sin(w))
"""


# ---- torch's side ----------------------------------------------------------------------------------------------------
def flat(h):
    return torch.cat(h, 1) if isinstance(h, tuple) else h


def pixel(w, h):
    f1 = leaky(pixel_norm(linear(w, "pixel.f1", flat(h))))
    return linear(w, "pixel", leaky(pixel_norm(linear(w, "pixel.f2", f1))))


def normed(w, h):
    return linear(w, "normed", leaky(batch_norm(w, "normed.b", linear(w, "normed.a", flat(h)))))


def smooth(w, h):
    return linear(w, "smooth", softplus(linear(w, "smooth.f2", torch.tanh(linear(w, "smooth.f1", flat(h))))))


def reader(w, h):
    return linear(w, "reader", torch.tanh(linear(w, "reader.h", flat(h))))


NETS = {
    "plain": lambda w, h: critic(w, "plain", h)[0],
    "deep": lambda w, h: critic(w, "deep", h)[0],
    "pixel": pixel,
    "normed": normed,
    "smooth": smooth,
    "reader": reader,
}


def slope(net, w, u):
    """Gradient of the sum of the scores; the points keep their own history."""
    u = u if isinstance(u, tuple) else (u,)
    return torch.autograd.grad(NETS[net](w, u).sum(), u, create_graph=True)


def norms(g):
    return [torch.sqrt((m * m).sum(1)) for m in g]


def g1(net, w, wake, other, t):
    return interpolated(lambda mix: NETS[net](w, mix), wake, other, t)


def g2(net, w, wake, other):
    return sum(sum(m.abs().sum(1) for m in slope(net, w, side)).mean() for side in (wake, other)) - 2


def circle(a, b, t):
    unit = lambda v: v / torch.sqrt((v * v).sum(1, keepdim=True))
    w = torch.acos((unit(a) * unit(b)).sum(1, keepdim=True).clamp(-1, 1))
    t = t[:, None]
    return (torch.sin((1 - t) * w) * a + torch.sin(t * w) * b) / torch.sin(w)


def layerwise(g, weights):
    return sum(c * (n - 1) ** 2 for c, n in zip(weights, norms(g))).mean()


def g5(net, w, wake, other, a=(1,) * 6, b=(1,) * 6):
    return layerwise(slope(net, w, wake), a) + layerwise(slope(net, w, other), b)


def g6(net, w, real, fake):
    return sum(((norms(slope(net, w, side))[0] - 1) ** 2).mean() for side in (real, fake))


def wrong(i):
    return softplus(-i["s"]).mean() + softplus(i["o"]).mean()


def bce(p, y):
    floor = lambda q: torch.clamp(torch.log(q), min=-100)
    return -(y * floor(p) + (1 - y) * floor(1 - p)).mean()


def kl_moments(z):
    m, v = z.mean(0), z.var(0, unbiased=True)
    return ((v + m**2 - torch.log(v) - 1) / 2).mean()


def nt_xent(a, b, tau):
    """From the definition (positive pair against all others of the 2B), not from our formula: mean of -log softmax."""
    h = torch.nn.functional.normalize(torch.cat([a, b]), dim=1, eps=0)
    logits = (h @ h.T / tau).masked_fill(torch.eye(len(h), dtype=torch.bool), -torch.inf)
    pair = torch.arange(len(h)).roll(len(a))
    return torch.nn.functional.cross_entropy(logits, pair)


def nt_xent_slope(a, b, tau):
    a, b = (v if v.requires_grad else v.clone().requires_grad_() for v in (a, b))
    return torch.cat(torch.autograd.grad(nt_xent(a, b, tau), (a, b), create_graph=True))


def pull_push(a, b, margin):
    apart = torch.sqrt(((a - b.roll(-1, 0)) ** 2).sum(1) + 1e-12)
    return ((a - b) ** 2).mean() + torch.relu(margin - apart).mean()


def barlow(a, b, weight):
    standard = lambda x: (x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + 1e-5)
    c, one = standard(a).T @ standard(b) / len(a), torch.eye(a.shape[1])
    return ((c - one) ** 2 * (one + weight * (1 - one))).sum()


def vicreg(a, b):
    def scatter(x):
        d = x - x.mean(0)
        c = d.T @ d / (len(x) - 1)
        rest = (c**2).sum() - (torch.diagonal(c) ** 2).sum()
        return 25 * torch.relu(1 - torch.sqrt(x.var(0, unbiased=False) + 1e-4)).mean() + rest / x.shape[1]

    return 25 * ((a - b) ** 2).mean() + scatter(a) + scatter(b)


# ---- the table: name, expression, inputs, network, torch ----------------------------------------------------------------
LAYER_NAMES = tuple(f"l{k}" for k in range(6))
OTHER_NAMES = tuple(f"m{k}" for k in range(6))
TWO, PAIR = ("x", "xo", "z", "zo"), "(x, z), (xo, zo)"


def two(i):
    return (i["x"], i["z"]), (i["xo"], i["zo"])


def six(i):
    return tuple(i[n] for n in LAYER_NAMES), tuple(i[n] for n in OTHER_NAMES)


def given_slerp(net):
    at = "given_circle(x, xo, given.t_x), given_circle(z, zo, given.t_z)"
    return (
        f"g3.{net}",
        f"layerwise(slope_of({net}, ({at})))",
        TWO,
        net,
        lambda w, i, net=net: layerwise(
            slope(net, w, (circle(i["x"], i["xo"], i["t_x"]), circle(i["z"], i["zo"], i["t_z"]))), (1, 1)
        ),
    )


CASES = [
    ("mse", "mse(a, b)", ("a", "b"), None, lambda w, i: ((i["a"] - i["b"]) ** 2).mean()),
    ("absolute", "l1_distance(a, b)", ("a", "b"), None, lambda w, i: (i["a"] - i["b"]).abs().mean()),
    ("squared", "squared_distance(a, b)", ("a", "b"), None, lambda w, i: ((i["a"] - i["b"]) ** 2).sum(1).mean()),
    ("bce", "bce(p, y)", ("p", "y"), None, lambda w, i: bce(i["p"], i["y"])),
    (
        "bce_logit",
        "bce_logit(a, y)",
        ("a", "y"),
        None,
        lambda w, i: torch.nn.functional.binary_cross_entropy_with_logits(i["a"], i["y"]),
    ),
    (
        "cross_entropy",
        "cross_entropy(k, given.label)",
        ("k",),
        None,
        lambda w, i: torch.nn.functional.cross_entropy(i["k"], i["label"]),
    ),
    (
        "softmax",
        "sum(softmax(k) * given.u_k)",
        ("k",),
        None,
        lambda w, i: (torch.softmax(i["k"], 1) * i["u_k"]).sum(),
    ),
    ("kl_moments", "kl_moments(a)", ("a",), None, lambda w, i: kl_moments(i["a"])),
    ("nt_xent", "nt_xent(a, b, 0.5)", ("a", "b"), None, lambda w, i: nt_xent(i["a"], i["b"], 0.5)),
    (
        "nt_xent.slope",
        "sum(nt_xent_slope(a, b, 0.5) * concat(as_axis(given.u_a), as_axis(given.u_b)))",
        ("a", "b"),
        None,
        lambda w, i: (nt_xent_slope(i["a"], i["b"], 0.5) * torch.cat([i["u_a"], i["u_b"]])).sum(),
    ),
    ("pull_push", "pull_push(a, b, 4)", ("a", "b"), None, lambda w, i: pull_push(i["a"], i["b"], 4)),
    ("barlow", "barlow(a, b)", ("a", "b"), None, lambda w, i: barlow(i["a"], i["b"], 5e-3)),
    ("vicreg", "vicreg(a, b)", ("a", "b"), None, lambda w, i: vicreg(i["a"], i["b"])),
    ("wasserstein.lose", "wasserstein(s, o)[0]", ("s", "o"), None, lambda w, i: i["o"].mean() - i["s"].mean()),
    ("wasserstein.gain", "wasserstein(s, o)[1]", ("s", "o"), None, lambda w, i: i["s"].mean() - i["o"].mean()),
    ("minimax.lose", "minimax(s, o)[0]", ("s", "o"), None, lambda w, i: wrong(i)),
    ("minimax.gain", "minimax(s, o)[1]", ("s", "o"), None, lambda w, i: -wrong(i)),
    ("non_saturating.lose", "non_saturating(s, o)[0]", ("s", "o"), None, lambda w, i: wrong(i)),
    (
        "non_saturating.gain",
        "non_saturating(s, o)[1]",
        ("s", "o"),
        None,
        lambda w, i: softplus(i["s"]).mean() + softplus(-i["o"]).mean(),
    ),
    (
        "hinge.lose",
        "hinge(s, o)[0]",
        ("s", "o"),
        None,
        lambda w, i: torch.relu(1 - i["s"]).mean() + torch.relu(1 + i["o"]).mean(),
    ),
    ("hinge.gain", "hinge(s, o)[1]", ("s", "o"), None, lambda w, i: i["s"].mean() - i["o"].mean()),
    (
        "least_squares.lose",
        "least_squares(s, o)[0]",
        ("s", "o"),
        None,
        lambda w, i: ((i["s"] - 1) ** 2).mean() / 2 + (i["o"] ** 2).mean() / 2,
    ),
    (
        "least_squares.gain",
        "least_squares(s, o)[1]",
        ("s", "o"),
        None,
        lambda w, i: (i["s"] ** 2).mean() / 2 + ((i["o"] - 1) ** 2).mean() / 2,
    ),
    *[
        (f"g1.{n}", f"given_interpolated({n}, {PAIR}, given.t)", TWO, n, lambda w, i, n=n: g1(n, w, *two(i), i["t"]))
        for n in ("plain", "pixel", "normed", "smooth")
    ],
    *[
        (f"g2.{n}", f"signed_l1({n}, {PAIR})", TWO, n, lambda w, i, n=n: g2(n, w, *two(i)))
        for n in ("plain", "smooth")
    ],
    given_slerp("plain"),
    given_slerp("smooth"),
    (
        "g4",
        f"depth_weighted(deep, ({', '.join(LAYER_NAMES)}), ({', '.join(OTHER_NAMES)}))",
        LAYER_NAMES + OTHER_NAMES,
        "deep",
        lambda w, i: g5("deep", w, *six(i), (5, 4, 3, 2, 1, 0), (1, 2, 3, 4, 5, 0)),
    ),
    *[
        (f"g5.{n}", f"at_samples({n}, {PAIR})", TWO, n, lambda w, i, n=n: g5(n, w, *two(i)))
        for n in ("plain", "smooth")
    ],
    ("g6", "input_slope(reader, x, xo)", ("x", "xo"), "reader", lambda w, i: g6("reader", w, i["x"], i["xo"])),
]


# States, which a training cycle commits, the cases that are also evaluated, and fields that are nodes without a derivative by them.
STATES, EVALUATED, USED = ("centre", "spread", "u"), (), ()


# ---- inputs ----------------------------------------------------------------------------------------------------------
def make_inputs():
    rng = np.random.default_rng(11)
    shapes = {"a": Z, "b": Z, "y": Z, "k": CLASSES, "s": 1, "o": 1, "x": X, "xo": X, "z": Z, "zo": Z}
    shapes |= dict(zip(LAYER_NAMES, LAYERS)) | dict(zip(OTHER_NAMES, LAYERS))
    fields = {n: rng.standard_normal((BATCH, k)) for n, k in shapes.items()}
    fields["y"] = rng.random((BATCH, Z))
    fields["p"] = rng.uniform(0.05, 0.95, (BATCH, Z))
    fields |= {f"u_{n}": rng.standard_normal(v.shape) for n, v in list(fields.items())}
    fields |= {n: rng.random(BATCH) for n in ("t", "t_x", "t_z")}
    (HERE / "data").mkdir(parents=True, exist_ok=True)
    for n, v in fields.items():
        np.save(HERE / "data" / f"{n}.npy", as_f32(v))
    np.save(HERE / "data" / "label.npy", rng.integers(0, CLASSES, BATCH).astype(np.int32))
    shapes = {}
    for net in ("plain", "pixel", "smooth"):
        shapes |= critic_shapes(net, X + Z, WIDTH)
    shapes |= linear_shapes("normed.a", X + Z, WIDTH) | linear_shapes("normed", WIDTH, 1)
    shapes |= (
        critic_shapes("deep", sum(LAYERS), WIDTH)
        | linear_shapes("reader.h", X, WIDTH)
        | linear_shapes("reader", WIDTH, 1)
    )
    weights = {p: as_f32(2 * v) for p, v in draw_weights(shapes, rng).items()}
    weights["normed.b.scale"], weights["normed.b.shift"] = as_f32(rng.uniform(0.5, 1.5, WIDTH)), as_f32(
        rng.standard_normal(WIDTH)
    )
    weights["normed.b.centre"] = as_f32(rng.standard_normal(WIDTH))
    weights["normed.b.spread"] = as_f32(rng.uniform(0.5, 2, WIDTH))
    save(HERE / "init.safetensors", weights)


def print_model():
    used = sorted({n for case in CASES for n in case[2]} | set(USED))
    lines = [
        f"# Printed by ../{TITLE[0]} from its table; README.md of the folder above says how the nodes are named.",
        "hypnograph: 1",
        f"name: {TITLE[1]}",
        f"about: {TITLE[2]}",
        "",
        "settings: {batch: 8}",
        "",
        "data:",
        "  given: {source: npy, batch: $batch, order: file}",
        "",
        "networks:",
        NETWORKS.rstrip(),
        "",
        "functions:",
        FUNCTIONS.rstrip(),
        "",
        "phases:",
        "  ops:",
        "    nodes:",
    ]
    lines += [f"      {n}: given.{n}" for n in used]
    for name, text, inputs, _, _ in CASES:
        lines.append(f"      {name}: {text}")
        if not inputs:
            continue
        lines += [f"      d.{name}.{n}: grad({name}, {n})" for n in inputs]
        along = " + ".join(f"sum(d.{name}.{n} * given.u_{n})" for n in inputs)
        lines.append(f"      along.{name}: {along}")
        lines += [f"      dd.{name}.{n}: grad(along.{name}, {n})" for n in inputs]
    for net in NETS:
        mine = [c[0] for c in CASES if c[3] == net]
        lines.append(f"      total.{net}: " + " + ".join(mine))
    lines += ["    update:"] + ["      - " + "\n        ".join(f"{net}: total.{net}" for net in NETS)]
    lines += ["", "optimizers:", "  all: sgd(lr=1)", "schedule: {epochs: 1, cycle: [ops]}", ""]
    (HERE / "model.yaml").write_text("\n".join(lines))


# ---- values ----------------------------------------------------------------------------------------------------------
def slot(g, like):
    return torch.zeros_like(like) if g is None else g


def is_state(path):
    return path.rsplit(".", 1)[-1] in STATES


def load_weights():
    stored = {p: torch.tensor(v).double() for p, v in load_file(str(HERE / "init.safetensors")).items()}
    return {p: v if is_state(p) else v.requires_grad_() for p, v in stored.items()}


def derivatives(f, w, fields, inputs, paths):
    """A case's values without their names: itself, `along`, and by input d and dd, by weight w."""
    i = fields | {n: fields[n].clone().requires_grad_() for n in inputs}
    leaves, weights = [i[n] for n in inputs], [w[p] for p in paths]
    value = f(w, i)
    first = torch.autograd.grad(value, leaves, create_graph=True, allow_unused=True) if inputs else ()
    first = [slot(g, v) for g, v in zip(first, leaves)]
    along = sum((g * fields[f"u_{n}"]).sum() for g, n in zip(first, inputs))
    second = [None] * len(leaves)
    if inputs and along.requires_grad:
        second = torch.autograd.grad(along, leaves, retain_graph=True, allow_unused=True)
    second = [slot(g, v) for g, v in zip(second, leaves)]
    by_weight = torch.autograd.grad(value, weights, allow_unused=True) if paths else ()
    return value, along, first, second, [slot(g, v) for g, v in zip(by_weight, weights)]


def named(name, inputs, paths, value, along, first, second, by_weight):
    out = {name: value} | ({f"along.{name}": along} if inputs else {})
    out |= {f"d.{name}.{n}": g for n, g in zip(inputs, first)}
    out |= {f"dd.{name}.{n}": g for n, g in zip(inputs, second)}
    return out | {f"w.{name}.{p}": g for p, g in zip(paths, by_weight)}


def evaluated(fields, paths_of):
    """Values of the cases in EVALUATED, and their derivatives, where a source evaluates the model: `training` is false."""
    out = {}
    for name, _, inputs, net, f in CASES:
        if name in EVALUATED:
            paths = paths_of.get(net, ())
            found = derivatives(f, load_weights() | {"training": False}, fields, inputs, paths)
            out |= {f"eval.{n}": v for n, v in named(name, inputs, paths, *found).items()}
    return out


def compute():
    fields = {f.stem: torch.tensor(np.load(f)) for f in sorted((HERE / "data").glob("*.npy"))}
    fields = {n: v.long() if n == "label" else v.double() for n, v in fields.items()}
    w = load_weights() | {"training": True}  # a case that calls a network with states replaces them here
    paths_of = {net: [p for p in w if p.split(".")[0] == net and not is_state(p)] for net in NETS}
    out, after = evaluated(fields, paths_of), {p: v for p, v in w.items() if p != "training"}
    for name, _, inputs, net, f in CASES:
        paths = paths_of.get(net, ())
        found = derivatives(f, w, fields, inputs, paths)
        out |= named(name, inputs, paths, *found)
        for p, g in zip(paths, found[-1]):
            after[p] = after[p] - g
    after |= {p: w[p] for p in after if is_state(p)}
    out |= {f"after.{p}": v for p, v in after.items()}
    return {k: v.detach().numpy(force=True) for k, v in out.items()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--check", action="store_true", help="compare with the stored values, write nothing")
    args = p.parse_args()
    if args.check:
        values, stored = compute(), load_file(str(HERE / "expect.safetensors"))
        assert values.keys() == stored.keys()
        gap = max(np.abs(values[k] - stored[k]).max() / (np.abs(stored[k]).max() or 1) for k in stored)
        print(f"{len(stored)} values, largest distance {gap:.1e}")
        return 0 if gap < 1e-12 else 1
    make_inputs()
    print_model()
    values = compute()
    assert all(np.isfinite(v).all() for v in values.values())
    save(HERE / "expect.safetensors", values)
    print(f"{len(CASES)} cases, {len(values)} values")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
