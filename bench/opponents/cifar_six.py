"""What the twins of cifar-six share: settings, weights, draws, and three cycles to agree with.

Draws: `u1` to `u5` of the upward pathways; `d0` to `d4` of the downward ones and `prior`, oscillation's rows first, then
sleep's; `t`, the penalties' mixing numbers, one row a layer.
"""

import importlib.util

import numpy as np

from common import REFERENCE, fan_in, named, read_safetensors

MODELS = ["cifar-six"]
LAYERS = ["x", "z1", "z2", "z3", "z4", "z5"]
SIZES = [32, 16, 8, 4, 2, 1]
WINDOWS = [(4, 4), (4, 4), (4, 4), (4, 2), (2, 1), (1, 1)]  # of a critic's two convolutions; those of 4 have stride 2, pad 1
CHANNELS, SEEN, IMAGE_HIDDEN = (3, 32, 64, 128, 256, 100), ((64, 128), (64, 128), (128, 256)) + 3 * ((256, 256),), 32
OSCILLATION, SLEEP = 1.0, 0.1
NETS = dict(lr=1e-4, betas=(0.5, 0.999), weight_decay=2e-5)
CRITICS = dict(lr=4e-4, betas=(0.5, 0.999))
GROUPS = {"critics": ("D.",), "nets": ("up.", "down.")}


def readout_size(l):
    """Rows of the map that a critic's readout sees."""
    size = SIZES[l]
    for k in WINDOWS[l]:
        size = size // 2 if k == 4 else size - k + 1
    return size


def initial():
    """Weights by hypnograph path; `mean` has the rows of the deviation, too."""
    rng, w, channels = np.random.default_rng(1), {}, CHANNELS

    def put(path, shape, fan, units):
        w[f"{path}.weight"], w[f"{path}.bias"] = fan_in(rng, shape, fan), fan_in(rng, units, fan)

    for l, layer in enumerate(LAYERS[1:], 1):
        c, below, k = channels[l], channels[l - 1], 2 if l == 5 else 4
        put(f"up.{layer}.a", (c, below, k, k), below * k * k, c)
        put(f"up.{layer}.mean", (2 * c, c, 1, 1), c, 2 * c)
    for l, layer in enumerate(LAYERS[:5]):
        c, above, k = channels[l], channels[l + 1], 2 if l == 4 else 4
        inner = c if l else IMAGE_HIDDEN
        put(f"down.{layer}.a", (above, inner, k, k), inner * k * k, inner)
        put(f"down.{layer}.mean", (2 * c, inner, 1, 1), inner, 2 * c)
    for l, layer in enumerate(LAYERS):
        (k1, k2), (c1, c2) = WINDOWS[l], SEEN[l]
        units = c2 * readout_size(l) ** 2
        put(f"D.{layer}.f1", (c1, channels[l], k1, k1), channels[l] * k1 * k1, c1)
        put(f"D.{layer}.f2", (c2, c1, k2, k2), c1 * k2 * k2, c2)
        put(f"D.{layer}", (1, units), units, 1)
    return w


def noise_shapes(batch):
    at = lambda l, rows: (rows, CHANNELS[l], SIZES[l], SIZES[l])
    up = {f"u{l}": at(l, batch) for l in range(1, 6)}
    return up | {f"d{l}": at(l, 2 * batch) for l in range(5)} | {"prior": at(5, 2 * batch)}


def drawn(k, batch, channels):
    """The draws of cycle k that the reference was computed with, from their sites."""
    spec = importlib.util.spec_from_file_location("reference_common", REFERENCE / "common.py")
    known = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(known)
    normal = lambda site, l: known.normal(f"compare/{site}~1", (channels[l], SIZES[l], SIZES[l]), batch, k).numpy()
    d = {"prior": np.concatenate([normal(f"z5.{phase}", 5) for phase in ("oscillation", "sleep")])}
    for l, at in enumerate(LAYERS):
        rise, sink = "/rise" if l < 5 else "", "/sink" if 0 < l < 4 else ""
        if l > 0:
            d[f"u{l}"] = normal(f"{at}.wake/up.{at}{rise}/conv_gaussian", l)
        if l < 5:
            sites = [f"{at}.{phase}/down.{at}{sink}/conv_transpose_gaussian" for phase in ("oscillation", "sleep")]
            d[f"d{l}"] = np.concatenate([normal(site, l) for site in sites])
    mixing = [known.uniform(f"compare/penalty.{at}/interpolated/t~1", (), batch, k).numpy().reshape(-1) for at in LAYERS]
    return d | {"t": np.stack(mixing)}


def reference():
    """(initial weights, cycles of (inputs, losses, weights after)) of tests/reference."""
    folder = REFERENCE / "cifar-six"
    weights, expect = (read_safetensors(folder / f"{n}.safetensors") for n in ("init", "expect"))
    channels = [3] + [len(weights[f"up.{at}.a.bias"]) for at in LAYERS[1:]]
    images, cycles = np.load(folder / "data" / "image.npy"), []
    for k in range(3):
        image = np.float64(np.float32(2 * (images[8 * k : 8 * k + 8] / 255) - 1))
        losses = [float(expect[f"cycle{k}/loss/compare.loss.{n}"]) for n in ("D", "net")]
        cycles.append((drawn(k, 8, channels) | {"image": image}, losses, named(expect, f"cycle{k}/param/")))
    return weights, cycles
