#!/usr/bin/env python3
"""PyTorch as an opponent: cifar-six, eager or as one compiled graph.

What makes it strong: the gradient penalty written out, its norms too (no double backward); oscillation and sleep through one
call of every downward pathway; wake, oscillation and sleep through one call of every critic; windows as large as their image
as products; no gradient where none is used; fused Adam. channels_last gains nothing here. --check proves it equal to
tests/reference, whose penalty is a double backward.
"""

import torch
import torch.nn.functional as F

import cifar_six as six
import torch_twin as twin
from common import Batches, cifar

args = twin.begin(six.MODELS, __doc__)
MINE = six.OSCILLATION + six.SLEEP  # how often wake counts


# ---- layers ----------------------------------------------------------------------------------------------------------
def pads(kernel):
    return (2, 1) if kernel.shape[-1] == 4 else (1, 0)


def conv(w, at, x):
    kernel, bias = w[f"{at}.weight"], w[f"{at}.bias"]
    if kernel.shape[-1] == x.shape[-1] < 4:
        return F.linear(x.flatten(1), kernel.flatten(1), bias)[:, :, None, None]
    return F.conv2d(x, kernel, bias, *pads(kernel))


def transposed(kernel, x, bias=None):
    if x.shape[-1] == 1:
        y = (x.flatten(1) @ kernel.flatten(1)).reshape(len(x), *kernel.shape[1:])
        return y if bias is None else y + bias[:, None, None]
    return F.conv_transpose2d(x, kernel, bias, *pads(kernel))


def rate(x):
    return torch.rsqrt(x.square().mean(1, keepdim=True) + 1e-8)


def population(w, at, a, noise, normed):
    a = torch.relu_(a) if args.mode == "eager" else torch.relu(a)
    mean, raw = conv(w, f"{at}.mean", a).chunk(2, 1)
    z = torch.addcmul(mean, F.softplus(raw, threshold=80), noise)
    if not normed:
        return z
    z = torch.relu(z)
    return z * rate(z)


def leaky(h):
    return F.leaky_relu(h, 0.2)


def features(w, at, h):
    p1 = conv(w, f"{at}.f1", h)
    f1 = leaky(p1 * rate(p1))
    p2 = conv(w, f"{at}.f2", f1)
    return f1, leaky(p2 * rate(p2))


def score(w, at, f2):
    return F.linear(f2.flatten(1), w[f"{at}.weight"], w[f"{at}.bias"])


def penalty(w, at, mix):
    """G1: forward, then the slope back to the input, both plain operations that are differentiated once. The Jacobian of
    y = r x is symmetric: g -> r (g - y mean(g y)).
    """
    p1 = conv(w, f"{at}.f1", mix)
    r1 = rate(p1)
    y1 = p1 * r1
    p2 = conv(w, f"{at}.f2", leaky(y1))
    r2 = rate(p2)
    y2 = p2 * r2
    mask = lambda y: torch.where(y.detach() > 0, 1.0, 0.2)
    back = lambda g, y, r: r * (g - y * (g * y).mean(1, keepdim=True))
    g2 = w[f"{at}.weight"].reshape(1, *y2.shape[1:]) * mask(y2)
    g1 = transposed(w[f"{at}.f2.weight"], back(g2, y2, r2)) * mask(y1)
    slope = transposed(w[f"{at}.f1.weight"], back(g1, y1, r1))
    return ((torch.linalg.vector_norm(slope.flatten(1), dim=1) - 1) ** 2).mean()


# ---- the model -------------------------------------------------------------------------------------------------------
def states(w, d):
    """Wake, [layer]; oscillation and sleep in one, [layer]. Of those, wake's image and the others' top are given."""
    wake, pair = [d["image"]], [None] * 5 + [d["prior"]]
    for l in range(1, 6):
        at = f"up.{six.LAYERS[l]}"
        wake.append(population(w, at, conv(w, f"{at}.a", wake[-1]), d[f"u{l}"], l < 5))
    sleep = pair[5][len(d["image"]) :]
    for l in range(4, -1, -1):
        at = f"down.{six.LAYERS[l]}"
        a = transposed(w[f"{at}.a.weight"], torch.cat([wake[l + 1], sleep]), w[f"{at}.a.bias"])
        pair[l] = population(w, at, a, d[f"d{l}"], l > 0)
        sleep = pair[l][len(d["image"]) :]
    return wake[1:], pair[:5]


def sides(d, wake, pair):
    return zip(six.LAYERS, [d["image"], *wake], [*pair, d["prior"]])


def gap(scores):
    of_wake, of_oscillation, of_sleep = (s.mean() for s in scores.chunk(3))
    return MINE * of_wake - six.OSCILLATION * of_oscillation - six.SLEEP * of_sleep


def critic_loss(w, d, wake, pair):
    total = 0
    for l, (name, mine, others) in enumerate(sides(d, wake, pair)):
        at = f"D.{name}"
        _, f2 = features(w, at, torch.cat([mine, others]))
        mix = torch.lerp(others[: len(mine)], mine, d["t"][l][:, None, None, None])
        total = total - gap(score(w, at, f2)) + penalty(w, at, mix)
    return total


def network_loss(w, d, wake, pair):
    """As the networks see it; the image, that carries no gradient, is evaluated without one."""
    total, rows = 0, len(d["image"])
    for name, mine, others in sides(d, wake, pair):
        at = f"D.{name}"
        if name == "x":
            with torch.no_grad():
                given = features(w, at, mine)
            taps = [torch.cat([a, b]) for a, b in zip(given, features(w, at, others))]
        else:
            taps = features(w, at, torch.cat([mine, others]))
        total = total + gap(score(w, at, taps[1]))
        if name != "z5":
            total = total + sum((f[:rows] - f[rows : 2 * rows]).square().sum() for f in taps) / rows
    return total


# ---- the two ways ----------------------------------------------------------------------------------------------------
class Eager(twin.Eager):
    def __init__(self, weights):
        super().__init__(weights, six.GROUPS, {"critics": six.CRITICS, "nets": six.NETS})

    def cycle(self, d):
        wake, pair = states(self.w, d)
        loss_d = critic_loss(self.w, d, [h.detach() for h in wake], [h.detach() for h in pair])
        self.step("critics", self.slopes(loss_d, *self.group["critics"]))
        frozen = {n: a.detach() for n, a in self.group["critics"].items()}
        loss_net = network_loss(frozen, d, wake, pair)
        self.step("nets", self.slopes(loss_net, *self.group["nets"]))
        return loss_d, loss_net


def whole(state, d):
    critics, nets = state["critics"], state["nets"]
    (wake, pair), pull = torch.func.vjp(lambda w: states(w, d), nets["w"])
    grads, loss_d = torch.func.grad_and_value(critic_loss)(critics["w"], d, wake, pair)
    twin.adam(critics, grads, **six.CRITICS)
    slopes, loss_net = torch.func.grad_and_value(network_loss, argnums=(2, 3))(critics["w"], d, wake, pair)
    twin.adam(nets, pull(slopes)[0], **six.NETS)
    return loss_d, loss_net


# ---- running ---------------------------------------------------------------------------------------------------------
def inputs():
    images = torch.tensor(cifar(args.data)[0])
    batches, shapes = Batches(len(images), args.batch), six.noise_shapes(args.batch)

    def draw():
        image = images[torch.from_numpy(batches.next()[0])].to(torch.float32).mul_(2 / 255).sub_(1)
        d = {n: torch.randn(shape) for n, shape in shapes.items()}
        return d | {"image": image, "t": torch.rand(6, args.batch)}

    return draw


if __name__ == "__main__":
    train = Eager if args.mode == "eager" else lambda weights: twin.Compiled(weights, six.GROUPS, whole)
    twin.drive(args, train, six.initial, inputs, six.reference)
