"""What the reference generators share: files, weights, the library's functions, all in double.

The functions mirror graphs/std line by line and are written from the language manual, not from our compiler, so that the
two can disagree. Every weight lives in a flat dict under its hypnograph path (`up.z.s.mean.weight`).
"""

import hashlib
import math

import numpy as np
import torch
from torch.nn import functional as F
from safetensors.numpy import save_file

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


def as_f32(a):
    """Inputs are stored as float32 values: a float and a double reader then start from equal numbers."""
    return np.ascontiguousarray(a, dtype=np.float32)


def save(path, tensors):
    """safetensors, F64 unless an array is float32 already; names sorted, so that the file is the same every time."""
    out = {}
    for name in sorted(tensors):
        a = tensors[name]
        a = a.detach().cpu().numpy() if torch.is_tensor(a) else np.asarray(a)
        out[name] = np.ascontiguousarray(a).reshape(np.shape(a))
    save_file(out, str(path))


# ---- draws -----------------------------------------------------------------------------------------------------------
def philox(counter, key):
    """Philox4x32-10 on arrays of uint64 that hold 32-bit words (Salmon et al., SC 2011)."""
    low, c, k = np.uint64(0xFFFFFFFF), list(counter), list(key)
    for _ in range(10):
        x, y = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        c = [(y >> np.uint64(32)) ^ c[1] ^ k[0], y & low, (x >> np.uint64(32)) ^ c[3] ^ k[1], x & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return c


def words(site, shape, batch=None, step=0):
    """The 32-bit words of a draw at seed 0, of `shape` a sample (batch: None, one for all)."""
    number = int.from_bytes(hashlib.sha256(site.encode()).digest()[:8], "little")
    at = np.arange(math.prod(shape), dtype=np.uint64)[None, :]
    sample = np.arange(batch or 1, dtype=np.uint64)[:, None]
    one = 0 * sample * at
    counter = [one + at // np.uint64(4), one + sample, one + np.uint64(step), one + np.uint64(number & 0xFFFFFFFF)]
    block = np.stack(philox(counter, [np.uint64(number >> 32), np.uint64(0)]))
    word = np.take_along_axis(block, np.broadcast_to((at % np.uint64(4)).astype(int), block.shape[1:])[None], 0)[0]
    return word.reshape((batch, *shape) if batch else shape)


def uniform(site, shape, batch=None, step=0):
    share = (words(site, shape, batch, step) >> np.uint64(8)).astype(np.float64) * 2.0**-24
    return torch.tensor(share, dtype=torch.get_default_dtype())


def normal(site, shape, batch, step=0):
    """Box-Muller on pairs of words; of an odd number of elements the last pair gives one."""
    n = math.prod(shape)
    u = uniform(site, (n + n % 2,), batch, step).reshape(batch, -1, 2)
    radius, turn = torch.sqrt(-2 * torch.log(1 - u[..., 0])), 2 * math.pi * u[..., 1]
    both = torch.stack([radius * torch.cos(turn), radius * torch.sin(turn)], -1)
    return both.reshape(batch, -1)[:, :n].reshape(batch, *shape)


def uniform_int(site, low, high):
    return low + int(words(site, ()) * np.uint64(high - low + 1) >> np.uint64(32))


# ---- weights ---------------------------------------------------------------------------------------------------------
def linear_shapes(path, inputs, units):
    return {f"{path}.weight": (units, inputs), f"{path}.bias": (units,)}


def gaussian_shapes(path, inputs, units, hidden):
    return {
        **linear_shapes(f"{path}.a", inputs, hidden),
        **linear_shapes(f"{path}.mean", hidden, units),
        **linear_shapes(f"{path}.std", hidden, units),
    }


def settle_shapes(path, inputs, units, hidden):
    return {
        **gaussian_shapes(f"{path}.s", inputs, units, hidden),
        **gaussian_shapes(f"{path}.r", units, units, hidden),
    }


def critic_shapes(path, inputs, hidden):
    """`return: linear(f2, 1)` adds nothing to a path, so the readout is `D.x.weight`."""
    return {
        **linear_shapes(f"{path}.f1", inputs, hidden),
        **linear_shapes(f"{path}.f2", hidden, hidden),
        **linear_shapes(path, hidden, 1),
    }


def draw_weights(shapes, rng):
    """fan_in for weights and biases alike; a bias has the fan of its layer's weight."""
    out = {}
    for path, shape in shapes.items():
        fan = shapes[path[: -len("bias")] + "weight"][1] if path.endswith(".bias") else shape[1]
        out[path] = as_f32(rng.uniform(-1 / math.sqrt(fan), 1 / math.sqrt(fan), shape))
    return out


# ---- the library -----------------------------------------------------------------------------------------------------
def linear(w, path, x):
    return x @ w[f"{path}.weight"].T + w[f"{path}.bias"]


def softplus(x):
    """torch's own is linear above 20, which costs 1e-10: not here."""
    return torch.logaddexp(x, torch.zeros_like(x))


def leaky(x, slope=0.2):
    return torch.where(x > 0, x, slope * x)


def per_depth(b):
    return b[:, None, None]


def conv(w, path, x, **how):
    y = F.conv2d(x, w[f"{path}.weight"], **how)
    return y + per_depth(w[f"{path}.bias"]) if f"{path}.bias" in w else y


def conv_transpose(w, path, x, **how):
    return F.conv_transpose2d(x, w[f"{path}.weight"], **how) + per_depth(w[f"{path}.bias"])


def pixel_norm(x):
    return x / torch.sqrt((x**2).mean(1, keepdim=True) + 1e-8)


def conv_critic(w, path, h, first, second):
    """Score per sample [B, 1], and the features. `first` and `second`: strides and pads."""
    f1 = leaky(pixel_norm(conv(w, f"{path}.f1", h, **first)))
    f2 = leaky(pixel_norm(conv(w, f"{path}.f2", f1, **second)))
    return linear(w, path, f2.flatten(1)), (f1, f2)


def batch_norm(w, path, x):
    """In training it moves the running statistics. torch's own has no third derivative, so it only looks on."""
    axes, at = [k for k in range(x.dim()) if k != 1], (-1, *[1] * (x.dim() - 2))
    scale, shift, centre, spread = (w[f"{path}.{n}"] for n in ("scale", "shift", "centre", "spread"))
    m, v = (x.mean(axes), x.var(axes, unbiased=False)) if w["training"] else (centre, spread)
    y = (x - m.reshape(at)) / torch.sqrt(v.reshape(at) + 1e-5) * scale.reshape(at) + shift.reshape(at)
    w[f"{path}.centre"], w[f"{path}.spread"] = centre.clone(), spread.clone()
    torchs = F.batch_norm(x, w[f"{path}.centre"], w[f"{path}.spread"], scale, shift, w["training"], 0.1, 1e-5)
    assert torch.allclose(y, torchs, rtol=1e-12, atol=1e-12)
    return y


def gaussian(w, path, h, noise):
    """The draw, its mean and its standard deviation."""
    a = torch.relu(linear(w, f"{path}.a", h))
    mean = linear(w, f"{path}.mean", a)
    std = softplus(linear(w, f"{path}.std", a))
    return mean + std * noise, mean, std


def settle(w, path, h, noise_s, noise_r):
    """(s + r) / 2, and the moments it has given s: affine in its last draw, r."""
    s, _, _ = gaussian(w, f"{path}.s", h, noise_s)
    r, mean, std = gaussian(w, f"{path}.r", s, noise_r)
    return (s + r) / 2, (s + mean) / 2, std / 2


def critic(w, path, h):
    """Score per sample [B, 1], and the features."""
    h = torch.cat([m.reshape(m.shape[0], -1) for m in h], 1) if isinstance(h, tuple) else h.reshape(h.shape[0], -1)
    f1 = leaky(linear(w, f"{path}.f1", h))
    f2 = leaky(linear(w, f"{path}.f2", f1))
    return linear(w, path, f2), (f1, f2)


def interpolated(score, wake, other, t):
    """G1, by torch's own double backward. `score` maps a tuple of layers to [B, 1]; one t per sample for all of them."""
    wake, other = (wake, other) if isinstance(wake, tuple) else ((wake,), (other,))
    along = lambda a: t.reshape(-1, *[1] * (a.dim() - 1))
    mix = tuple((along(a) * a + (1 - along(a)) * b) for a, b in zip(wake, other))
    if not mix[0].requires_grad:
        mix = tuple(m.requires_grad_() for m in mix)
    slopes = torch.autograd.grad(score(mix).sum(), mix, create_graph=True)
    squares = sum((g * g).reshape(g.shape[0], -1).sum(1) for g in slopes)
    return ((torch.sqrt(squares) - 1) ** 2).mean()
