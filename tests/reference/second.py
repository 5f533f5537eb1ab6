#!/usr/bin/env python3
"""One network around every kind of layer and loss: second derivatives by weights, by PyTorch in double.

    python second.py         # writes second/: model.yaml, data/*.npy, init.safetensors, expect.safetensors
    python second.py --check # computes from the stored inputs, compares, writes nothing

ROWS is the table. Of every row there are three cases: its loss, and the squares of its loss's gradient by the input and by all
its weights. Gradients of these by weights are second derivatives, by an input and a weight and by two weights. ops.py prints
the model and computes the gradients.
"""

import math
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

import images
import ops
from common import as_f32, batch_norm, conv, linear, pixel_norm, save, uniform
from images import curved, minibatch_std, resample, through, winners

HERE = Path(__file__).resolve().parent / "second"
IMAGE, UNITS = (2, 6, 5), 60

FUNCTIONS = """\
  curved(x): mean(tanh(x)**2)
"""


# ---- torch's side: what stands between the first layer and the last ---------------------------------------------------------
def windowed(w, a):
    b = torch.tanh(F.conv2d(a, w["windowed.w"], stride=(2, 1), padding=(2, 1), dilation=(1, 2), groups=2))
    how = dict(stride=(1, 2), padding=(0, 1), dilation=(2, 1), groups=2, output_padding=(0, 1))
    return F.conv_transpose2d(b, w["windowed.v"], **how)


def chosen(w, a):
    """Windows overlap: some elements are taken twice, and what is put there adds up."""
    at = winners(a).flatten(2)
    taken = torch.tanh(a.roll(1, 1).flatten(2).gather(2, at))
    return torch.zeros_like(a).flatten(2).scatter_add(2, at, taken).view(a.shape)


def turned(w, a):
    by = a.mean((1, 2, 3))
    return resample(a, by, 2 * by, -1.5 * by)


def layered(w, a):
    d = a - a.mean((1, 2, 3), keepdim=True)
    y = d / torch.sqrt((d * d).mean((1, 2, 3), keepdim=True) + 1e-5)
    return y * w["layered.b.scale"] + w["layered.b.shift"]


def spectral(w, path):
    return {f"{path}.weight": through(w, path), f"{path}.bias": w[f"{path}.bias"]}


def bounded(w, h):
    a = torch.tanh(conv(spectral(w, "bounded.a"), "bounded.a", h))
    b = spectral(w, "bounded.b")
    b = F.conv_transpose2d(a, b["bounded.b.weight"], stride=2) + b["bounded.b.bias"][:, None, None]
    return conv(spectral(w, "bounded"), "bounded", torch.tanh(b))


def dropped(w, a):
    keep = uniform("ops/of.dropped/dropped/b/dropout~1", a.shape[1:], len(a)) >= 0.3
    return torch.where(keep, a / 0.7, 0.0) if w["training"] else a


def occluded(w, a):
    return images.covered(a, uniform("ops/of.occluded/occluded/b/occlude/u~1", a.shape[2:], len(a)), 2)


# name: extent 0 of b, node b in the language, b in torch, the weights and states of b
ON_IMAGES = {
    "windowed": (
        2,
        "convolve_transpose(tanh(convolve(a, w, stride=[2, 1], pad=[2, 1], dilation=[1, 2], groups=2)), v,\n"
        "              stride=[1, 2], pad=[0, 1], dilation=[2, 1], groups=2, output_pad=[0, 1])",
        windowed,
        {"w": (4, 2, 3, 2), "v": (4, 1, 2, 3)},
    ),
    "pooled": (4, "max_pool(a, 3, stride=2, pad=1)", lambda w, a: F.max_pool2d(a, 3, 2, 1), {}),
    "chosen": (4, "put(tanh(take(roll(a, 1), argmax_pool(a, 3, stride=2, pad=1))), argmax_pool(a, 3, stride=2, pad=1), shape(a))", chosen, {}),
    "averaged": (4, "mean_pool(a, [2, 3], stride=[2, 1], pad=1)", lambda w, a: F.avg_pool2d(a, (2, 3), (2, 1), 1), {}),
    "raised": (4, "upsample(a, 2)", lambda w, a: F.interpolate(a, scale_factor=2), {}),
    "turned": (4, "resample(a, angle=mean(a, over=units), dx=2 * mean(a, over=units), dy=-1.5 * mean(a, over=units))", turned, {}),
    "joined": (
        8,
        "concat(a, 2 * tanh(a)) * concat(roll(a, 1), a)",
        lambda w, a: torch.cat([a, 2 * torch.tanh(a)], 1) * torch.cat([a.roll(1, 1), a], 1),
        {},
    ),
    "sliced": (
        2,
        "a[1:3, :, 0:3] * a[0:2, :, -3:4] + a[-1, 4:5, 1:4]",
        lambda w, a: a[:, 1:3, :, 0:3] * a[:, 0:2, :, -3:4] + a[:, -1, 4:5, 1:4][:, None],
        {},
    ),
    "parted": (2, "split(a, 2)[0] * roll(split(a, 2)[1], 1)", lambda w, a: a[:, :2] * a[:, 2:].roll(1, 1), {}),
    "pixelwise": (4, "pixel_norm(a)", lambda w, a: pixel_norm(a), {}),
    "batched": (
        4,
        "batch_norm(a)",
        lambda w, a: batch_norm(w, "batched.b", a),
        {"b.scale": (4,), "b.shift": (4,), "b.centre": (4,), "b.spread": (4,)},
    ),
    "layered": (4, "layer_norm(a)", layered, {"b.scale": (4, 5, 4), "b.shift": (4, 5, 4)}),
    "widened": (5, "minibatch_std(a)", lambda w, a: minibatch_std(a), {}),
    "occluded": (4, "occlude(a, 0.4, 2)", occluded, {}),
    "dropped": (4, "dropout(a, 0.3)", dropped, {}),
}
ON_UNITS = {
    "crowded": (6, "minibatch_std(a)", lambda w, a: minibatch_std(a), {}),
    "soft": (5, "softmax(a)", lambda w, a: torch.softmax(a, 1), {}),
    "classified": (5, "a", lambda w, a: a, {}),
    "contrasted": (5, "a", lambda w, a: a, {}),
}
LOSSES = {  # where it is not `curved`
    "classified": ("cross_entropy(classified(x), given.label)", lambda f, i: F.cross_entropy(f(i["x"]), i["label"])),
    "contrasted": ("nt_xent(contrasted(x), contrasted(y), 0.5)", lambda f, i: ops.nt_xent(f(i["x"]), f(i["y"]), 0.5)),
}
BOUNDED = """\
  bounded(h):
    a:      tanh(conv(h, 4, 2, through=spectral))
    b:      tanh(conv_transpose(a, 3, 2, 2, through=spectral))
    return: conv(b, 2, 2, through=spectral)
"""
BOUNDED_SHAPES = {
    "a.weight": (4, 2, 2, 2),
    "a.bias": (4,),
    "a.u": (4,),
    "b.weight": (4, 3, 2, 2),
    "b.bias": (3,),
    "b.u": (4,),
    "weight": (2, 3, 2, 2),
    "bias": (2,),
    "u": (2,),
}


def network(name, middle, first, last, shapes):
    """Its text: between a first and a last layer, with the weights that b names itself."""
    own = {p: s for p, s in shapes.items() if "." not in p}
    text = f"  {name}(h):\n" + ("    weights:\n" if own else "")
    text += "".join(f"      {p}: {{shape: {list(s)}, init: 0}}\n" for p, s in own.items())
    return text + f"    a:      {first}\n    b:      {middle}\n    return: {last}\n"


# name: text of the network, torch's, shapes of its weights and states
ROWS = {}
for name, (depth, middle, f, shapes) in ON_IMAGES.items():
    ROWS[name] = (
        network(name, middle, "conv(h, 4, 2)", "conv(tanh(b), 2, 2)", shapes),
        lambda w, h, n=name, f=f: conv(w, n, torch.tanh(f(w, conv(w, f"{n}.a", h)))),
        {"a.weight": (4, 2, 2, 2), "a.bias": (4,), "weight": (2, depth, 2, 2), "bias": (2,)} | shapes,
    )
for name, (depth, middle, f, shapes) in ON_UNITS.items():
    ROWS[name] = (
        network(name, middle, "linear(flatten(h), 5)", "linear(tanh(b), 4)", shapes),
        lambda w, h, n=name, f=f: linear(w, n, torch.tanh(f(w, linear(w, f"{n}.a", h.flatten(1))))),
        {"a.weight": (5, UNITS), "a.bias": (5,), "weight": (4, depth), "bias": (4,)} | shapes,
    )
ROWS["bounded"] = (BOUNDED, bounded, BOUNDED_SHAPES)


# ---- the three cases of a row --------------------------------------------------------------------------------------------
def squares(y, x):
    return sum((g * g).sum() for g in torch.autograd.grad(y, x, create_graph=True))


def weights_of(name):
    return [f"{name}.{p}" for p in sorted(ROWS[name][2]) if not ops.is_state(p)]


def cases(name):
    """The loss last, which alone moves the states: the others are of its own evaluation."""
    text, loss = LOSSES.get(name, (f"curved({name}(x))", lambda f, i: curved(f(i["x"]))))
    of = lambda w, i: loss(lambda h: ROWS[name][1](w, h), i)

    def by_x(w, i):
        x = i["x"].clone().requires_grad_()
        return squares(of(dict(w), i | {"x": x}), [x])

    by_w = lambda w, i: squares(of(dict(w), i), [w[p] for p in weights_of(name)])
    yield f"by_x.{name}", f"sum(grad(of.{name}, x)**2)", (), name, by_x
    yield f"by_w.{name}", f"sum(grad(of.{name}, ({', '.join(weights_of(name))}))**2)", (), name, by_w
    yield f"of.{name}", text, (), name, of


# ---- inputs ----------------------------------------------------------------------------------------------------------
def drawn(rng, path, shape):
    if path.endswith(".spread"):
        return rng.uniform(0.5, 2, shape)
    v = rng.standard_normal(shape)
    if path.endswith(".u"):
        return v / np.linalg.norm(v)
    return 1.2 / math.sqrt(math.prod(shape[1:])) * v


def make_inputs():
    rng = np.random.default_rng(23)
    (HERE / "data").mkdir(parents=True, exist_ok=True)
    for n in ("x", "y"):
        np.save(HERE / "data" / f"{n}.npy", as_f32(rng.standard_normal((ops.BATCH, *IMAGE))))
    np.save(HERE / "data" / "label.npy", rng.integers(0, 4, ops.BATCH).astype(np.int32))
    shapes = {f"{name}.{p}": s for name, row in ROWS.items() for p, s in row[2].items()}
    save(HERE / "init.safetensors", {p: as_f32(drawn(rng, p, s)) for p, s in shapes.items()})


ops.HERE, ops.make_inputs, ops.FUNCTIONS = HERE, make_inputs, FUNCTIONS
ops.NETWORKS, ops.NETS = "".join(row[0] for row in ROWS.values()), tuple(ROWS)
ops.CASES = [case for name in ROWS for case in cases(name)]
ops.USED = ("x", "y")
ops.EVALUATED = tuple(f"{what}.{name}" for name in ("batched", "bounded", "dropped") for what in ("by_x", "by_w", "of"))
ops.TITLE = ("second.py", "reference-second", "A network around every kind of layer, with second derivatives by weights.")

if __name__ == "__main__":
    raise SystemExit(ops.main())
