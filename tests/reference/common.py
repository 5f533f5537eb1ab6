"""What the reference generators share: files, weights, the library's functions, all in double.

The functions mirror graphs/std line by line and are written from the language manual, not from our compiler, so that the
two can disagree. Every weight lives in a flat dict under its hypnograph path (`up.z.s.mean.weight`).
"""

import math

import numpy as np
import torch
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
    t = t[:, None]
    mix = tuple((t * a + (1 - t) * b) for a, b in zip(wake, other))
    if not mix[0].requires_grad:
        mix = tuple(m.requires_grad_() for m in mix)
    slopes = torch.autograd.grad(score(mix).sum(), mix, create_graph=True)
    squares = sum((g * g).reshape(g.shape[0], -1).sum(1) for g in slopes)
    return ((torch.sqrt(squares) - 1) ** 2).mean()
