"""What --check compares with where tests/reference has no values: the same equations as plainly as they can be written, in
double, by torch's own convolutions, double backward and Adam; nothing is stacked, left out or laid out.
"""

import torch
import torch.nn.functional as F

import cifar_six
from common import EPS


def leaves(weights):
    return {n: torch.tensor(a, dtype=torch.float64, requires_grad=True) for n, a in weights.items()}


def adam(w, prefixes, lr, betas, weight_decay=0.0):
    mine = [a for n, a in w.items() if n.startswith(prefixes)]
    return torch.optim.Adam(mine, lr=lr, betas=betas, eps=EPS, weight_decay=weight_decay, foreach=False)


def descend(loss, optimizer):
    optimizer.zero_grad()
    mine = optimizer.param_groups[0]["params"]
    for p, g in zip(mine, torch.autograd.grad(loss, mine)):
        p.grad = g
    optimizer.step()
    return loss.item()


def numbers(w):
    return {n: a.detach().numpy().copy() for n, a in w.items()}


# ---- cifar-six -------------------------------------------------------------------------------------------------------
def pixel_norm(x):
    return x / torch.sqrt((x**2).mean(1, keepdim=True) + 1e-8)


def padded(w, path):
    """Weight, bias, stride and pad: windows of 4 stride by 2."""
    strides = (2, 1) if w[f"{path}.weight"].shape[-1] == 4 else (1, 0)
    return w[f"{path}.weight"], w[f"{path}.bias"], *strides


def population(w, path, h, noise, normed):
    layer = F.conv2d if path.startswith("up.") else F.conv_transpose2d
    a = torch.relu(layer(h, *padded(w, f"{path}.a")))
    mean, s = F.conv2d(a, *padded(w, f"{path}.mean")).chunk(2, 1)
    z = mean + torch.logaddexp(s, torch.zeros_like(s)) * noise
    return pixel_norm(torch.relu(z)) if normed else z


def critic(w, path, h):
    leaky = lambda x: torch.where(x > 0, x, 0.2 * x)
    f1 = leaky(pixel_norm(F.conv2d(h, *padded(w, f"{path}.f1"))))
    f2 = leaky(pixel_norm(F.conv2d(f1, *padded(w, f"{path}.f2"))))
    return F.linear(f2.flatten(1), w[f"{path}.weight"], w[f"{path}.bias"]), (f1, f2)


def six_losses(w, d):
    """The critics' loss and the networks'."""
    rows, names = len(d["image"]), cifar_six.LAYERS
    wake, oscillation, sleep = [d["image"]], [None] * 6, [None] * 6
    for l in range(1, 6):
        wake.append(population(w, f"up.{names[l]}", wake[-1], d[f"u{l}"], l < 5))
    oscillation[5], sleep[5] = d["prior"][:rows], d["prior"][rows:]
    for l in range(4, -1, -1):
        oscillation[l] = population(w, f"down.{names[l]}", wake[l + 1], d[f"d{l}"][:rows], l > 0)
        sleep[l] = population(w, f"down.{names[l]}", sleep[l + 1], d[f"d{l}"][rows:], l > 0)
    lose = gain = 0
    for l, name in enumerate(names):
        at, t = f"D.{name}", d["t"][l][:, None, None, None]
        (s_wake, f_wake), (s_down, f_down) = critic(w, at, wake[l]), critic(w, at, oscillation[l])
        gap = cifar_six.OSCILLATION * (s_wake.mean() - s_down.mean())
        gap = gap + cifar_six.SLEEP * (s_wake.mean() - critic(w, at, sleep[l])[0].mean())
        mix = (t * wake[l] + (1 - t) * oscillation[l]).detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(w, at, mix)[0].sum(), mix, create_graph=True)
        lose = lose - gap + ((torch.sqrt((slope**2).sum((1, 2, 3))) - 1) ** 2).mean()
        gain = gain + gap
        if l < 5:
            gain = gain + sum(((a - b) ** 2).flatten(1).sum(1).mean() for a, b in zip(f_wake, f_down))
    return lose, gain


def six(weights, inputs):
    w, out = leaves(weights), []
    critics, nets = adam(w, ("D.",), **cifar_six.CRITICS), adam(w, ("up.", "down."), **cifar_six.NETS)
    for arrays in inputs:
        d = {n: torch.tensor(a, dtype=torch.float64) for n, a in arrays.items()}
        losses = [descend(six_losses(w, d)[0], critics), descend(six_losses(w, d)[1], nets)]
        out.append((arrays, losses, numbers(w)))
    return out


# ---- classifiers -----------------------------------------------------------------------------------------------------
def classes(weights, inputs, forward, settings):
    """`forward(w, image)`: logits."""
    w, out = leaves(weights), []
    optimizer = adam(w, ("",), **settings)
    for arrays in inputs:
        logits = forward(w, torch.tensor(arrays["image"], dtype=torch.float64))
        loss = descend(F.cross_entropy(logits, torch.tensor(arrays["label"])), optimizer)
        out.append((arrays, [loss], numbers(w)))
    return out


def mlp(w, image):
    h = torch.relu(F.linear(image, w["C.h1.weight"], w["C.h1.bias"]))
    h = torch.relu(F.linear(h, w["C.h2.weight"], w["C.h2.bias"]))
    return F.linear(h, w["C.weight"], w["C.bias"])


def encoder(w, h):
    for layer in ("C.h1", "C.h2", "C.h3"):
        h = F.leaky_relu(F.conv2d(h, w[f"{layer}.weight"], w[f"{layer}.bias"], 2, 1), 0.2)
    return F.conv2d(h, w["C.weight"], w["C.bias"]).flatten(1)
