"""What --check compares with where tests/reference has no values: the same equations as plainly as they can be written, in
double, by torch's own convolutions, double backward and Adam; nothing is stacked, left out or laid out.
"""

import torch
import torch.nn.functional as F

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
