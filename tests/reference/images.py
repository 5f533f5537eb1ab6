#!/usr/bin/env python3
"""Convolutions, pools and what else walks images: values, first and second derivatives, by PyTorch in double.

    python images.py         # writes images/: model.yaml, data/*.npy, init.safetensors, expect.safetensors
    python images.py --check # computes from the stored inputs, compares, writes nothing

The table is of the form that ops.py explains, which prints the model and computes the derivatives.
"""

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

import ops
from common import as_f32, batch_norm, conv, conv_critic, conv_transpose, interpolated, per_depth, pixel_norm, save
from common import uniform, uniform_int

HERE = Path(__file__).resolve().parent / "images"

NETWORKS = """\
  plain(h):
    a:      tanh(conv(h, 5, 4, 2, 1))
    b:      tanh(conv_transpose(a, 3, 4, 2, 1))
    return: conv(b, 2, 3, pad=2)
  grouped(h):                             # every parameter differs between rows and columns
    weights:
      w: {shape: [6, 2, 3, 2], init: 0}
      v: {shape: [6, 1, 2, 3], init: 0}
    a:      tanh(convolve(h, w, stride=[2, 1], pad=[2, 1], dilation=[1, 3], groups=2))
    return: convolve_transpose(a, v, stride=[3, 2], pad=[1, 2], dilation=[2, 1], groups=3, output_pad=[2, 1])
  normed(h):
    a:      conv(h, 4, 3, pad=1, biased=false)
    b:      batch_norm(a)
    return: pixel_norm(conv(tanh(b), 3, 2, 2))
  layered(h): layer_norm(conv(h, 3, 3, 2))
  bounded(h):
    a:      tanh(conv(h, 5, 3, 2, through=spectral))
    b:      tanh(conv_transpose(a, 3, 2, 2, through=spectral))
    return: linear(flatten(b), 2, through=spectral)
  judge: conv_critic(_, 4, 4, 2, 5, 2, 1)
"""

FUNCTIONS = """\
  curved(x): mean(tanh(x)**2)
  covered(x, u, t): where(tiles(u, t) < 0.4, 0, x)
  joined(x, y): concat(x, 2 * y) * concat(y, x)
  sliced(x, y): x[1:3, :, 0:3] * y[0:2, :, -3:4] + x[-1, 4:5, 1:4]
  parted(x, y): split(x, 2)[0] * roll(split(y, 2)[1], 1)
  penalised(critic, wake, other, t): mean((norm(slope_of(critic, t * wake + (1 - t) * other)) - 1)**2)
"""


# ---- torch's side ----------------------------------------------------------------------------------------------------
def plain(w, h):
    a = torch.tanh(conv(w, "plain.a", h, stride=2, padding=1))
    return conv(w, "plain", torch.tanh(conv_transpose(w, "plain.b", a, stride=2, padding=1)), padding=2)


def grouped(w, h):
    a = torch.tanh(F.conv2d(h, w["grouped.w"], stride=(2, 1), padding=(2, 1), dilation=(1, 3), groups=2))
    how = dict(stride=(3, 2), padding=(1, 2), dilation=(2, 1), groups=3, output_padding=(2, 1))
    return F.conv_transpose2d(a, w["grouped.v"], **how)


def normed(w, h):
    b = batch_norm(w, "normed.b", conv(w, "normed.a", h, padding=1))
    return pixel_norm(conv(w, "normed", torch.tanh(b), stride=2))


def layered(w, h):
    """torch's own layer norm has wrong third derivatives, so it only looks on."""
    a = conv(w, "layered.2", h, stride=2)
    scale, shift, d = w["layered.1.scale"], w["layered.1.shift"], a - a.mean((1, 2, 3), keepdim=True)
    y = d / torch.sqrt((d * d).mean((1, 2, 3), keepdim=True) + 1e-5) * scale + shift
    assert torch.allclose(y, F.layer_norm(a, a.shape[1:], scale, shift), rtol=1e-12, atol=1e-12)
    return y


def through(w, path):
    """torch's own spectral norm of a weight, rows being its first axis; in training it moves u."""
    m = torch.nn.Module()
    m.weight = torch.nn.Parameter(w[f"{path}.weight"].detach())
    torch.nn.utils.spectral_norm(m, dim=0).train(w["training"])
    del m.weight_orig
    m.weight_orig, u = w[f"{path}.weight"], w[f"{path}.u"]
    with torch.no_grad():
        m.weight_u.copy_(u)
        m.weight_v.copy_(F.normalize(m.weight_orig.flatten(1).T @ u, dim=0, eps=1e-12))
    next(iter(m._forward_pre_hooks.values()))(m, None)
    w[f"{path}.u"] = m.weight_u.clone()
    return m.weight


def bounded(w, h):
    a = torch.tanh(F.conv2d(h, through(w, "bounded.a"), stride=2) + per_depth(w["bounded.a.bias"]))
    b = torch.tanh(F.conv_transpose2d(a, through(w, "bounded.b"), stride=2) + per_depth(w["bounded.b.bias"]))
    return b.flatten(1) @ through(w, "bounded").T + w["bounded.bias"]


def judge(w, h):
    return conv_critic(w, "judge", h, dict(stride=2, padding=1), {})[0]


def minibatch_std(x):
    """One more unit or channel, the same for all samples: the mean over units of their deviation over the batch."""
    spread = torch.sqrt(x.var(0, unbiased=True) + 1e-8).mean()
    return torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], 1)


def curved(x):
    return (torch.tanh(x) ** 2).mean()


def penalised(f, w, wake, other, t):
    return interpolated(lambda mix: f(w, mix[0]), wake, other, t)


def winners(x):
    return F.max_pool2d(x, 3, 2, 1, return_indices=True)[1]


def taken(x, slope):
    at = winners(x)
    return slope.flatten(2).gather(2, at.flatten(2)).view(at.shape)


def sent(x, e):
    at = winners(x)
    return torch.zeros_like(x).flatten(2).scatter_add(2, at.flatten(2), e.flatten(2)).view(x.shape)


def resample(x, angle, dx, dy):
    """By torch's sampling grid: columns, then rows, in [-1, 1] between the middles of the outer pixels."""
    h, w = x.shape[-2:]
    one = torch.ones_like(angle)
    across, down = torch.meshgrid(torch.arange(w) - (w - 1) / 2, torch.arange(h) - (h - 1) / 2, indexing="xy")
    move = lambda v: v[:, None, None] * one[:, None, None]
    a, b = across - move(dx), down - move(dy)
    c, s = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    grid = torch.stack([(a * c - b * s) / ((w - 1) / 2), (a * s + b * c) / ((h - 1) / 2)], -1)
    return F.grid_sample(x, grid, align_corners=True, padding_mode="zeros")


def dropped(x, p):
    return torch.where(uniform("ops/dropout/dropout~1", x.shape[1:], len(x)) < p, 0.0, x / (1 - p))


def occluded(x, case, p, tile, per_sample):
    u = uniform(f"ops/{case}/occlude/u~1", x.shape[2:], len(x) if per_sample else None)
    return covered(x, u if per_sample else u.expand(len(x), *u.shape), tile, p)


def occluded_batch(x):
    p = float(uniform("ops/occlude.batch~1", ()))
    return occluded(x, "occlude.batch", p, uniform_int("ops/occlude.batch~2", 1, 8), False)


def covered(x, u, t, p=0.4):
    rows, columns = torch.arange(x.shape[-2]), torch.arange(x.shape[-1])
    across = -(-x.shape[-1] // t)
    at = (rows[:, None] // t) * across + columns[None, :] // t
    return torch.where(u.flatten(1)[:, at][:, None] < p, 0.0, x)


OF = {f.__name__: f for f in (plain, grouped, normed, layered, bounded)}
CASES = [
    *[(f"of.{n}", f"curved({n}(x))", ("x",), n, lambda w, i, f=f: curved(f(w, i["x"]))) for n, f in OF.items()],
    # a second call in the same cycle goes on from the states of the first
    *[
        (f"again.{n}", f"curved({n}(y))", ("y",), n, lambda w, i, f=OF[n]: curved(f(w, i["y"])))
        for n in ("normed", "bounded")
    ],
    # by weights it is a second derivative, mixed of those by inputs and by weights
    *[
        (
            f"penalty.{n}",
            f"penalised({n}, x, y, given.t)",
            ("x", "y"),
            n,
            lambda w, i, f=f: penalised(f, w, i["x"], i["y"], i["t"]),
        )
        for n, f in (OF | {"judge": judge}).items()
    ],
    ("max_pool", "curved(max_pool(x, 3, stride=2, pad=1))", ("x",), None, lambda w, i: curved(F.max_pool2d(i["x"], 3, 2, 1))),
    ("max_pool.plain", "curved(max_pool(x, 2))", ("x",), None, lambda w, i: curved(F.max_pool2d(i["x"], 2))),
    ("mean_pool", "curved(mean_pool(x, 3, stride=2, pad=1))", ("x",), None, lambda w, i: curved(F.avg_pool2d(i["x"], 3, 2, 1))),
    (
        "mean_pool.rows",
        "curved(mean_pool(x, [2, 3], stride=[1, 2]))",
        ("x",),
        None,
        lambda w, i: curved(F.avg_pool2d(i["x"], (2, 3), (1, 2))),
    ),
    ("upsample", "curved(upsample(x, 2))", ("x",), None, lambda w, i: curved(F.interpolate(i["x"], scale_factor=2))),
    (
        "take",
        "curved(take(y, argmax_pool(x, 3, stride=2, pad=1)))",
        ("y",),
        None,
        lambda w, i: curved(taken(i["x"], i["y"])),
    ),
    (
        "put",
        "curved(put(e, argmax_pool(x, 3, stride=2, pad=1), [4, 9, 7]))",
        ("e",),
        None,
        lambda w, i: curved(sent(i["x"], i["e"])),
    ),
    (
        "resample",
        "curved(resample(x, angle=given.t, dx=3 * given.t, dy=-1.5))",
        ("x",),
        None,
        lambda w, i: curved(resample(i["x"], i["t"], 3 * i["t"], -1.5 + 0 * i["t"])),
    ),
    (
        "resample.by",
        "curved(resample(y, angle=t, dx=3 * t, dy=-2 * t))",
        ("y", "t"),
        None,
        lambda w, i: curved(resample(i["y"], i["t"], 3 * i["t"], -2 * i["t"])),
    ),
    ("concat", "curved(joined(e, f))", ("e", "f"), None, lambda w, i: curved(torch.cat([i["e"], 2 * i["f"]], 1) * torch.cat([i["f"], i["e"]], 1))),
    (
        "slices",
        "curved(sliced(e, f))",
        ("e", "f"),
        None,
        lambda w, i: curved(i["e"][:, 1:3, :, 0:3] * i["f"][:, 0:2, :, -3:4] + i["e"][:, -1, 4:5, 1:4][:, None]),
    ),
    (
        "parts",
        "curved(parted(e, f))",
        ("e", "f"),
        None,
        lambda w, i: curved(i["e"][:, :2] * i["f"][:, 2:].roll(1, 1)),
    ),
    ("pixel_norm", "curved(pixel_norm(e))", ("e",), None, lambda w, i: curved(pixel_norm(i["e"]))),
    ("minibatch_std", "curved(minibatch_std(e))", ("e",), None, lambda w, i: curved(minibatch_std(i["e"]))),
    (
        "minibatch_std.flat",
        "curved(minibatch_std(flatten(e)))",
        ("e",),
        None,
        lambda w, i: curved(minibatch_std(i["e"].flatten(1))),
    ),
    ("dropout", "curved(dropout(e, 0.3))", ("e",), None, lambda w, i: curved(dropped(i["e"], 0.3) if w["training"] else i["e"])),
    (
        "occlude.sample",
        "curved(occlude(x, 0.4, 3))",
        ("x",),
        None,
        lambda w, i: curved(occluded(i["x"], "occlude.sample", 0.4, 3, True)),
    ),
    (
        "occlude.batch",
        "curved(occlude(x, ~uniform(0, 1, per=batch), ~uniform_int(1, 8, per=batch), per=batch))",
        ("x",),
        None,
        lambda w, i: curved(occluded_batch(i["x"])),
    ),
    ("tiles", "curved(covered(x, given.u, 3))", ("x",), None, lambda w, i: curved(covered(i["x"], i["u"], 3))),
]


# ---- inputs ----------------------------------------------------------------------------------------------------------
def make_inputs():
    rng = np.random.default_rng(17)
    image = (ops.BATCH, 4, 9, 7)
    fields = {"x": rng.standard_normal(image), "y": rng.standard_normal(image)}
    fields["e"] = rng.standard_normal((ops.BATCH, 4, 5, 4))
    fields |= {f"u_{n}": rng.standard_normal(v.shape) for n, v in list(fields.items())}
    fields["u"] = rng.random((ops.BATCH, 9, 7))
    fields["t"], fields["u_t"] = rng.random(ops.BATCH), rng.standard_normal(ops.BATCH)
    fields["f"], fields["u_f"] = rng.standard_normal((2, ops.BATCH, 4, 5, 4))
    (HERE / "data").mkdir(parents=True, exist_ok=True)
    for n, v in fields.items():
        np.save(HERE / "data" / f"{n}.npy", as_f32(v))
    shapes = {
        "plain.a.weight": (5, 4, 4, 4),
        "plain.a.bias": (5,),
        "plain.b.weight": (5, 3, 4, 4),
        "plain.b.bias": (3,),
        "plain.weight": (2, 3, 3, 3),
        "plain.bias": (2,),
        "grouped.w": (6, 2, 3, 2),
        "grouped.v": (6, 1, 2, 3),
        "normed.a.weight": (4, 4, 3, 3),
        "normed.b.scale": (4,),
        "normed.b.shift": (4,),
        "normed.weight": (3, 4, 2, 2),
        "normed.bias": (3,),
        "judge.f1.weight": (4, 4, 4, 4),
        "judge.f1.bias": (4,),
        "judge.f2.weight": (5, 4, 2, 2),
        "judge.f2.bias": (5,),
        "judge.weight": (1, 5 * 3 * 2),
        "judge.bias": (1,),
    }
    shapes |= {"layered.2.weight": (3, 4, 3, 3), "layered.2.bias": (3,), "layered.1.scale": (3, 4, 3), "layered.1.shift": (3, 4, 3)}
    shapes |= {"bounded.a.weight": (5, 4, 3, 3), "bounded.a.bias": (5,), "bounded.b.weight": (5, 3, 2, 2), "bounded.b.bias": (3,)}
    shapes |= {"bounded.weight": (2, 3 * 8 * 6), "bounded.bias": (2,), "normed.b.centre": (4,)}
    weights = {p: as_f32(0.5 * rng.standard_normal(s)) for p, s in shapes.items()}
    weights["normed.b.spread"] = as_f32(rng.uniform(0.5, 2, 4))
    for path, rows in (("bounded.a", 5), ("bounded.b", 5), ("bounded", 2)):
        u = rng.standard_normal(rows)
        weights[f"{path}.u"] = as_f32(u / np.linalg.norm(u))
    save(HERE / "init.safetensors", weights)


ops.HERE, ops.CASES, ops.NETWORKS, ops.FUNCTIONS, ops.make_inputs = HERE, CASES, NETWORKS, FUNCTIONS, make_inputs
ops.NETS = ("plain", "grouped", "normed", "judge", "layered", "bounded")
ops.EVALUATED = ("of.normed", "of.bounded", "penalty.normed", "penalty.bounded", "dropout")
ops.TITLE = ("images.py", "reference-images", "Convolutions, pools and norms of images, with first and second derivatives.")

if __name__ == "__main__":
    raise SystemExit(ops.main())
