#!/usr/bin/env python3
"""Three whole cycles of mnist-oscillation, mnist-global, mnist-vae and cifar-six in PyTorch, in double: the reference values.

    python generate.py             # expect.safetensors of each model from the inputs that are stored beside it
    python generate.py --inputs    # draws the inputs again first (images, noise, weights): the same bytes every time
    python generate.py --check     # computes, compares with what is stored, writes nothing
    python generate.py --twin      # also in float32, and prints how far that lies from double: what a float tolerance must allow

Needs torch, numpy and safetensors; the tests need none of them. The networks are small (100 pixels, 9 latents, 20 hidden
units, odd on purpose) and of the shipped structure; every draw of the shipped model is a field of the data folder.
cifar-six is the shipped file itself with few channels, and its draws are made again here, from their sites.
README.md says what the files hold.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

import common
from common import as_f32, conv, conv_critic, conv_transpose, critic, critic_shapes, draw_weights, interpolated, normal
from common import pixel_norm, save, settle, settle_shapes, softplus, uniform

HERE = Path(__file__).resolve().parent
BATCH, CYCLES = 8, 3
PIXELS, LATENTS, HIDDEN = 100, 9, 20
LR, LR_CRITIC, DECAY, BETAS = 1e-4, 4e-4, 2e-5, (0.5, 0.999)
CRITIC_SCALE = (
    3.0  # weights, not biases: their units then change sign within the batch, and biases do not cancel as often
)
PENALTY, FEATURES, BETA = 1.0, 1.0, 1.0


# cifar-six: channels of x to z5, of what draws the image, of the critics' two maps; windows (size, stride, pad) of the
# pathway into each layer from below and of the critics. reference_test.c sets the same channels.
CHANNELS, IMAGE_HIDDEN, SEEN = (3, 4, 5, 6, 7, 9), 5, (4, 6, 7)
LAYERS = ("x", "z1", "z2", "z3", "z4", "z5")
EXTENT = (32, 16, 8, 4, 2, 1)
STEP, TIGHT, POINT = (4, 2, 1), (2, 1, 0), (1, 1, 0)
PATHWAY = (None, STEP, STEP, STEP, STEP, TIGHT)
JUDGE = (  # channels and windows of both maps
    (SEEN[0], STEP, SEEN[1], STEP),
    (SEEN[0], STEP, SEEN[1], STEP),
    (SEEN[1], STEP, SEEN[2], STEP),
    (SEEN[2], STEP, SEEN[2], TIGHT),
    (SEEN[2], TIGHT, SEEN[2], POINT),
    (SEEN[2], POINT, SEEN[2], POINT),
)
OSCILLATION, LAMBDA = 1.0, 0.1


# ---- inputs ----------------------------------------------------------------------------------------------------------
def strokes(rng, count):
    """Sparse images like digits: a few thick strokes on black, stored as k / 255; many pixels are exactly 0."""
    side = int(PIXELS**0.5)
    at = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).astype(np.float64)
    images = np.zeros((count, side, side))
    for image in images:
        for _ in range(2):
            a, b = rng.uniform(1, side - 2, (2, 2))
            along = np.clip(((at - a) @ (b - a)) / max((b - a) @ (b - a), 1e-9), 0, 1)
            far = np.linalg.norm(at - (a + along[..., None] * (b - a)), axis=-1)
            np.maximum(image, np.clip(1.6 - far, 0, 1), out=image)
    return as_f32(np.round(images.reshape(count, PIXELS) * 255) / 255)


def blobs(rng, count):
    """Colour images with a few soft discs, as the bytes of a photo."""
    at = np.stack(np.meshgrid(np.arange(32), np.arange(32), indexing="ij"), -1).astype(np.float64)
    images = np.full((count, 3, 32, 32), 90.0) + rng.uniform(-40, 40, (count, 3, 1, 1))
    for image in images:
        for _ in range(4):
            far = np.linalg.norm(at - rng.uniform(0, 32, 2), axis=-1)
            image += rng.uniform(-120, 120, (3, 1, 1)) * np.clip(1.5 - far / rng.uniform(3, 10), 0, 1)
    return np.clip(np.round(images + rng.normal(0, 6, images.shape)), 0, 255).astype(np.uint8)


def six_shapes():
    """conv_gaussian and conv_transpose_gaussian of every pathway, conv_critic of every layer."""
    out = {}

    def add(path, *shape):
        out[f"{path}.weight"] = shape

    for k in range(1, 6):
        below, above, size = CHANNELS[k - 1], CHANNELS[k], PATHWAY[k][0]
        add(f"up.{LAYERS[k]}.a", above, below, size, size)
        add(f"up.{LAYERS[k]}.mean", 2 * above, above, 1, 1)
        hidden = below if k > 1 else IMAGE_HIDDEN
        add(f"down.{LAYERS[k - 1]}.a", above, hidden, size, size)
        add(f"down.{LAYERS[k - 1]}.mean", 2 * below, hidden, 1, 1)
    for layer, depth, extent, (first, one, second, two) in zip(LAYERS, CHANNELS, EXTENT, JUDGE):
        add(f"D.{layer}.f1", first, depth, one[0], one[0])
        add(f"D.{layer}.f2", second, first, two[0], two[0])
        for size, stride, pad in (one, two):
            extent = (extent + 2 * pad - size) // stride + 1
        add(f"D.{layer}", 1, second * extent**2)
    return out


def make_six(name, rng):
    folder = HERE / name / "data"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "image.npy", blobs(rng, BATCH * CYCLES))
    weights = {}
    for path, shape in six_shapes().items():
        wide = path.startswith("down.") and path.endswith(".a.weight")  # [in, out, row, column]
        bound = (shape[1] * shape[2] * shape[3] if wide else math.prod(shape[1:])) ** -0.5
        critics = 3 if path.startswith("D.") else 1
        weights[path] = as_f32(rng.uniform(-bound, bound, shape) * critics)
        bias = f"{path[: -len('weight')]}bias"
        units = shape[1] if wide else shape[0]
        weights[bias] = as_f32(rng.uniform(-bound, bound, units))
        if path.endswith(".mean.weight"):  # means up, spreads down: a pixel with no unit on is divided by next to nothing
            weights[bias] += as_f32(np.repeat([0.7, -0.7], units // 2))
    save(HERE / name / "init.safetensors", weights)


def noise_shapes(name):
    up = {"z_s": (LATENTS,), "z_r": (LATENTS,), "x_s": (PIXELS,), "x_r": (PIXELS,)}
    if name == "mnist-oscillation":
        return {**up, "prior": (LATENTS,), "t_x": (), "t_z": ()}
    if name == "mnist-global":
        return {**up, "prior": (LATENTS,), "t": ()}
    return up


def weight_shapes(name):
    if name == "mnist-vae":
        return {**settle_shapes("q", PIXELS, LATENTS, HIDDEN), **settle_shapes("p", LATENTS, PIXELS, HIDDEN)}
    shapes = {**settle_shapes("up.z", PIXELS, LATENTS, HIDDEN), **settle_shapes("down.x", LATENTS, PIXELS, HIDDEN)}
    if name == "mnist-global":
        return {**shapes, **critic_shapes("D.both", PIXELS + LATENTS, HIDDEN)}
    return {**shapes, **critic_shapes("D.x", PIXELS, HIDDEN), **critic_shapes("D.z", LATENTS, HIDDEN)}


def make_inputs(name, seed):
    rng = np.random.default_rng(seed)
    if name == "cifar-six":
        return make_six(name, rng)
    folder = HERE / name / "data"
    folder.mkdir(parents=True, exist_ok=True)
    count = BATCH * CYCLES
    np.save(folder / "image.npy", strokes(rng, count))
    for field, shape in noise_shapes(name).items():
        full = (count, *shape)
        np.save(
            folder / f"{field}.npy", as_f32(rng.random(full) if field.startswith("t") else rng.standard_normal(full))
        )
    weights = draw_weights(weight_shapes(name), rng)
    for path in weights:
        if path.startswith("D.") and path.endswith(".weight"):
            weights[path] *= CRITIC_SCALE
    save(HERE / name / "init.safetensors", weights)


# ---- the models: nodes of one evaluation, and the losses of their update steps, in order ----------------------------------
def oscillation(w, d):
    n = {"x.wake": d["image"]}
    n["z.wake"] = settle(w, "up.z", n["x.wake"], d["z_s"], d["z_r"])[0]
    n["x.oscillation"] = settle(w, "down.x", n["z.wake"], d["x_s"], d["x_r"])[0]
    n["z.oscillation"] = d["prior"]
    lose, gain, penalty = {}, {}, {}
    for layer in ("x", "z"):
        wake, wake_taps = critic(w, f"D.{layer}", n[f"{layer}.wake"])
        down, down_taps = critic(w, f"D.{layer}", n[f"{layer}.oscillation"])
        n[f"score.{layer}.wake"], n[f"score.{layer}.oscillation"] = wake, down
        n[f"gap.{layer}"] = wake.mean() - down.mean()
        lose[layer], gain[layer] = -n[f"gap.{layer}"], n[f"gap.{layer}"]
        score = lambda mix, layer=layer: critic(w, f"D.{layer}", mix)[0]
        penalty[layer] = PENALTY * interpolated(score, n[f"{layer}.wake"], n[f"{layer}.oscillation"], d[f"t_{layer}"])
        n[f"penalty.{layer}"] = penalty[layer]
        if layer == "x":
            n["features.x"] = sum(((a - b) ** 2).sum(1).mean() for a, b in zip(wake_taps, down_taps))
    n["loss.D"] = lose["x"] + penalty["x"] + lose["z"] + penalty["z"]
    n["loss.net"] = gain["x"] + FEATURES * n["features.x"] + gain["z"]
    return n


def joint(w, d):
    n = {"x.wake": d["image"], "z.sleep": d["prior"]}
    n["z.wake"] = settle(w, "up.z", n["x.wake"], d["z_s"], d["z_r"])[0]
    n["x.sleep"] = settle(w, "down.x", n["z.sleep"], d["x_s"], d["x_r"])[0]
    wake, sleep = (n["x.wake"], n["z.wake"]), (n["x.sleep"], n["z.sleep"])
    n["score.both.wake"], n["score.both.sleep"] = critic(w, "D.both", wake)[0], critic(w, "D.both", sleep)[0]
    n["gap.both"] = n["score.both.wake"].mean() - n["score.both.sleep"].mean()
    n["penalty.both"] = PENALTY * interpolated(lambda mix: critic(w, "D.both", mix)[0], wake, sleep, d["t"])
    n["loss.D"] = -n["gap.both"] + n["penalty.both"]
    n["loss.net"] = n["gap.both"]
    return n


def vae(w, d):
    n = {"x": d["image"]}
    n["z"], z_mean, z_std = settle(w, "q", n["x"], d["z_s"], d["z_r"])
    n["xr"], x_mean, x_std = settle(w, "p", n["z"], d["x_s"], d["x_r"])
    normal = torch.distributions.Normal
    n["likelihood"] = normal(x_mean, x_std).log_prob(n["x"]).sum(1)
    unit = normal(torch.zeros_like(z_mean), torch.ones_like(z_std))
    n["kl"] = torch.distributions.kl_divergence(normal(z_mean, z_std), unit).sum(1)
    n["elbo"] = n["likelihood"].mean() - BETA * n["kl"].mean()
    n["q, p"] = -n["elbo"]
    return n


def drawn(w, path, a, site, step):
    """The second half of conv_gaussian: a 1x1 convolution, split into mean and spread."""
    mean, s = conv(w, f"{path}.mean", a).chunk(2, 1)
    return mean + softplus(s) * normal(site, mean.shape[1:], len(a), step)


def six(w, d):
    """cifar-six: each layer in wake, from the wake layer above (oscillation) and from the sleep layer above (sleep)."""
    batch, step = len(d["image"]), d["cycle"]
    wake, down, sleep = {"x": (2 * (d["image"].double() / 255) - 1).float().to(d["image"].dtype)}, {}, {}
    for k in range(1, 6):
        at, (_, stride, pad) = LAYERS[k], PATHWAY[k]
        a = torch.relu(conv(w, f"up.{at}.a", wake[LAYERS[k - 1]], stride=stride, padding=pad))
        rise = "" if k == 5 else "/rise"
        z = drawn(w, f"up.{at}", a, f"compare/{at}.wake/up.{at}{rise}/conv_gaussian~1", step)
        wake[at] = z if k == 5 else pixel_norm(torch.relu(z))

    def fall(k, above, moment):
        at, (_, stride, pad) = LAYERS[k], PATHWAY[k + 1]
        a = torch.relu(conv_transpose(w, f"down.{at}.a", above, stride=stride, padding=pad))
        sink = "/sink" if 0 < k < 4 else ""
        site = f"compare/{at}.{moment}/down.{at}{sink}/conv_transpose_gaussian~1"
        z = drawn(w, f"down.{at}", a, site, step)
        return z if k == 0 else pixel_norm(torch.relu(z))

    for moment, layers in (("oscillation", down), ("sleep", sleep)):
        layers["z5"] = normal(f"compare/z5.{moment}~1", (CHANNELS[5], 1, 1), batch, step)
    for k in reversed(range(5)):
        down[LAYERS[k]] = fall(k, wake[LAYERS[k + 1]], "oscillation")
        sleep[LAYERS[k]] = fall(k, sleep[LAYERS[k + 1]], "sleep")

    n, lose, gain = {}, 0, 0
    for k, at in enumerate(LAYERS):
        windows = [dict(stride=v[1], padding=v[2]) for v in JUDGE[k][1::2]]
        judge = lambda h, at=at, windows=windows: conv_critic(w, f"D.{at}", h, *windows)
        (high, taps), (low, low_taps), (deep, _) = judge(wake[at]), judge(down[at]), judge(sleep[at])
        n[f"gap.{at}"] = high.mean() - low.mean()
        gap = OSCILLATION * n[f"gap.{at}"] + LAMBDA * (high.mean() - deep.mean())
        t = uniform(f"compare/penalty.{at}/interpolated/t~1", (), batch, step)
        n[f"penalty.{at}"] = PENALTY * interpolated(lambda mix: judge(mix[0])[0], wake[at], down[at], t)
        lose, gain = lose - gap + n[f"penalty.{at}"], gain + gap
        if at != "z5":
            n[f"features.{at}"] = sum(((a - b) ** 2).flatten(1).sum(1).mean() for a, b in zip(taps, low_taps))
            gain = gain + FEATURES * n[f"features.{at}"]
    return n | {"loss.D": lose, "loss.net": gain}


GAN_STEPS = [("loss.D", ("D.",)), ("loss.net", ("up.", "down."))]
MODELS = {  # seed of the inputs, phase, nodes, update steps: the loss and the groups it trains
    "mnist-oscillation": (39, "compare", oscillation, GAN_STEPS),
    "mnist-global": (5, "compare", joint, GAN_STEPS),
    "mnist-vae": (93, "wake", vae, [("q, p", ("q.", "p."))]),
    "cifar-six": (7, "compare", six, GAN_STEPS),
}


# ---- training --------------------------------------------------------------------------------------------------------
def optimizers(w):
    nets = [p for path, p in w.items() if not path.startswith("D.")]
    critics = [p for path, p in w.items() if path.startswith("D.")]
    made = [torch.optim.Adam(nets, lr=LR, betas=BETAS, eps=1e-8, weight_decay=DECAY, foreach=False)]
    if critics:
        made.append(torch.optim.Adam(critics, lr=LR_CRITIC, betas=BETAS, eps=1e-8, foreach=False))
    return made


def run(name, dtype):
    """All that expect.safetensors holds, in `dtype`."""
    _, phase, nodes_of, steps = MODELS[name]
    torch.set_default_dtype(dtype)
    init = load_file(str(HERE / name / "init.safetensors"))
    w = {path: torch.nn.Parameter(torch.tensor(a, dtype=dtype)) for path, a in init.items()}
    fields = {f.stem: torch.tensor(np.load(f), dtype=dtype) for f in sorted((HERE / name / "data").glob("*.npy"))}
    made, out = optimizers(w), {}
    for cycle in range(CYCLES):
        batch = {f: a[cycle * BATCH : (cycle + 1) * BATCH] for f, a in fields.items()} | {"cycle": cycle}
        at = f"cycle{cycle}"
        for k, (loss, groups) in enumerate(steps):
            nodes = nodes_of(w, batch)  # again after each step: changed weights, the same draws
            if k == 0:
                out.update({f"{at}/node/{phase}.{n}": v for n, v in nodes.items() if "loss" not in n and n != "q, p"})
            out[f"{at}/loss/{phase}.{loss}"] = nodes[loss]
            mine = {path: p for path, p in w.items() if path.startswith(groups)}
            grads = torch.autograd.grad(nodes[loss], list(mine.values()))
            for p in w.values():
                p.grad = None
            for (path, p), g in zip(mine.items(), grads):
                p.grad = g.clone()
                out[f"{at}/grad/{path}"] = g
            for opt in made:
                opt.step()  # parameters without a gradient are left alone
        out.update({f"{at}/param/{path}": p.detach().clone() for path, p in w.items()})
    torch.set_default_dtype(torch.float64)
    return {key: v.detach().numpy() for key, v in out.items()}


def distance(have, want):
    """Norm of the difference over norm of the reference."""
    top = sum(float(((np.float64(have[k]) - want[k]) ** 2).sum()) for k in want)
    return (top / sum(float((want[k] ** 2).sum()) for k in want)) ** 0.5


def families(values):
    """The keys by cycle, kind (node, loss, grad, param) and optimizer group, as the test compares them."""
    out = {}
    for key in values:
        cycle, kind, rest = key.split("/")
        group = rest.split(".")[0] if kind in ("grad", "param") else rest
        group = (
            {"up": "up+down", "down": "up+down", "q": "q+p", "p": "q+p"}.get(group, group)
            if kind in ("grad", "param")
            else group
        )
        out.setdefault((cycle, kind, group), []).append(key)
    return out


def report_twin(name, want):
    have = run(name, torch.float32)
    for (cycle, kind, group), keys in sorted(families(want).items()):
        if kind != "node":
            print(
                f"  {cycle} {kind:5} {group:18} {distance({k: have[k] for k in keys}, {k: want[k] for k in keys}):.2e}"
            )


def assert_sound(name, values):
    """What the reference promises: output biases of the critics have gradient exactly 0; what else cancels (biases of units on
    one side of their kink for the whole batch) does so far below Adam's epsilon, where its sign cannot become a step.
    """
    for key, v in values.items():
        assert np.isfinite(v).all(), key
        if "/grad/" in key:
            path = key.split("/")[2]
            if path.startswith("D.") and path.count(".") == 2 and path.endswith("bias"):
                assert (v == 0).all(), f"{name} {key}: {v}"
            size = np.abs(v)
            assert not ((size > 1e-16) & (size < 1e-9)).any(), f"{name} {key}: neither noise nor a gradient"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--inputs", action="store_true", help="draw images, noise and weights again")
    p.add_argument("--check", action="store_true", help="compare with the stored values, write nothing")
    p.add_argument("--twin", action="store_true", help="print the distance of a float32 run")
    p.add_argument("models", nargs="*", default=list(MODELS))
    args = p.parse_args()
    torch.set_num_threads(1)
    worst = 0.0
    for name in args.models:
        if args.inputs:
            make_inputs(name, MODELS[name][0])
        values = run(name, torch.float64)
        assert_sound(name, values)
        path = HERE / name / "expect.safetensors"
        if args.check:
            stored = load_file(str(path))
            assert stored.keys() == values.keys()
            gap = max(
                distance({k: values[k] for k in ks}, {k: stored[k] for k in ks}) for ks in families(stored).values()
            )
            worst = max(worst, gap)
            print(f"{name}: {len(stored)} values, largest relative distance {gap:.1e}")
        else:
            save(path, values)
            print(f"{name}: {len(values)} values, torch {torch.__version__}, numpy {np.__version__}")
        if args.twin:
            report_twin(name, values)
    return 0 if worst < 1e-12 else 1


if __name__ == "__main__":
    sys.exit(main())
