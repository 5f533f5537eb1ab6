"""What the twins of cifar-six share: settings, weights, draws, and three cycles to agree with.

Draws: `u1` to `u5` of the upward pathways; `d0` to `d4` of the downward ones and `prior`, oscillation's rows first, then
sleep's; `t`, the penalties' mixing numbers, one row a layer.
"""

import numpy as np

from common import fan_in

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


def initial(channels=CHANNELS, seen=SEEN, hidden=IMAGE_HIDDEN, seed=1):
    """Weights by hypnograph path; `mean` has the rows of the deviation, too."""
    rng, w = np.random.default_rng(seed), {}

    def put(path, shape, fan, units):
        w[f"{path}.weight"], w[f"{path}.bias"] = fan_in(rng, shape, fan), fan_in(rng, units, fan)

    for l, layer in enumerate(LAYERS[1:], 1):
        c, below, k = channels[l], channels[l - 1], 2 if l == 5 else 4
        put(f"up.{layer}.a", (c, below, k, k), below * k * k, c)
        put(f"up.{layer}.mean", (2 * c, c, 1, 1), c, 2 * c)
    for l, layer in enumerate(LAYERS[:5]):
        c, above, k = channels[l], channels[l + 1], 2 if l == 4 else 4
        inner = c if l else hidden
        put(f"down.{layer}.a", (above, inner, k, k), inner * k * k, inner)
        put(f"down.{layer}.mean", (2 * c, inner, 1, 1), inner, 2 * c)
    for l, layer in enumerate(LAYERS):
        (k1, k2), (c1, c2), units = WINDOWS[l], seen[l], seen[l][1] * readout_size(l) ** 2
        put(f"D.{layer}.f1", (c1, channels[l], k1, k1), channels[l] * k1 * k1, c1)
        put(f"D.{layer}.f2", (c2, c1, k2, k2), c1 * k2 * k2, c2)
        put(f"D.{layer}", (1, units), units, 1)
    return w


def noise_shapes(batch, channels=CHANNELS):
    at = lambda l, rows: (rows, channels[l], SIZES[l], SIZES[l])
    up = {f"u{l}": at(l, batch) for l in range(1, 6)}
    return up | {f"d{l}": at(l, 2 * batch) for l in range(5)} | {"prior": at(5, 2 * batch)}


def case():
    """(initial weights, cycles of (inputs, losses, weights after)) of a narrow model, computed plainly in double."""
    import plain

    batch, channels = 3, (3, 4, 5, 6, 7, 8)
    weights = initial(channels, ((5, 6),) * 6, 4, seed=3)
    rng, cycles = np.random.default_rng(4), []
    for _ in range(3):
        d = {n: rng.standard_normal(s) for n, s in noise_shapes(batch, channels).items()}
        cycles.append(d | {"image": rng.uniform(-1, 1, (batch, 3, 32, 32)), "t": rng.random((6, batch))})
    return weights, plain.six(weights, cycles)
