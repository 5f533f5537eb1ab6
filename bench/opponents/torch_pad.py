#!/usr/bin/env python3
"""PyTorch as an opponent: PAD, eager or as one compiled graph.

What makes it strong: one backward pass a phase (the published code has three in wake), heads that nothing reads are left out,
channels_last throughout, the layers between a 4x4 image and a vector as products without a copy, activations in place, no
gradient where none is used, fused Adam. --check proves it equal to tests/reference.
"""

import torch
import torch.nn.functional as F

import pad
import torch_twin as twin

args = twin.begin(pad.MODELS, __doc__)
LAST = torch.channels_last


# ---- layouts ---------------------------------------------------------------------------------------------------------
def lay(arrays):
    """Kernels channels_last; those of the heads and of G's first layer as matrices over (row, column, depth)."""
    w = twin.tensors(arrays)
    for n, a in w.items():
        if n.endswith(".weight"):
            matrix = n[: -len(".weight")] in [*pad.HEADS, "G.h1"]
            w[n] = a.permute(0, 2, 3, 1).reshape(len(a), -1).contiguous() if matrix else a.contiguous(memory_format=LAST)
    return w


def unlay(w):
    return {n: a.reshape(len(a), 4, 4, -1).permute(0, 3, 1, 2) if a.dim() == 2 else a for n, a in w.items()}


# ---- the model -------------------------------------------------------------------------------------------------------
def leaky(h):
    return F.leaky_relu(h, 0.2, inplace=args.mode == "eager")


def trunk(w, h):
    """Features [batch, (row, column, depth)], a view."""
    for layer in ("E.h1", "E.h2", "E.h3"):
        h = leaky(F.conv2d(h, w[f"{layer}.weight"], w[f"{layer}.bias"], 2, 1))
    return h.permute(0, 2, 3, 1).reshape(len(h), -1)


def head(w, at, h):
    return F.linear(h, w[f"{at}.weight"], w[f"{at}.bias"])


def dream(w, z):
    bias = w["G.h1.bias"]
    h = torch.addmm(bias.repeat(16), z, w["G.h1.weight"])
    h = h.reshape(len(z), 4, 4, len(bias)).permute(0, 3, 1, 2)
    for layer in ("G.h2", "G.h3", "G"):
        h = F.conv_transpose2d(leaky(h), w[f"{layer}.weight"], w[f"{layer}.bias"], 2, 1)
    return torch.tanh(h)


def judged(logit, target):
    return F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, target))


def kl(z):
    v, m = torch.var_mean(z, 0)
    return ((v + m * m - torch.log(v) - 1) / 2).mean()


def wake_loss(e, g, d):
    h = trunk(e, d["image"])
    z = head(e, "E.z", h)
    return F.mse_loss(dream(g, z), d["image"]) + kl(z) + judged(head(e, "E.d", h), 1.0), z


def replay_loss(e, xn, memory):
    return F.mse_loss(head(e, "E.z", trunk(e, xn)), memory)


def game_loss(e, xd):
    return judged(head(e, "E.d", trunk(e, xd)), 0.0)


def mixture(d, memory, old):
    return d["share"][0] * memory + d["share"][1] * old + d["eps"] / 2


# ---- the two ways ----------------------------------------------------------------------------------------------------
class Eager(twin.Eager):
    def __init__(self, weights):
        super().__init__(weights, pad.GROUPS, {"E": pad.ADAM, "G": pad.ADAM})
        parts = lambda *layers: [f"{n}.{kind}" for n in layers for kind in ("weight", "bias")]
        self.trunk, self.z, self.d = parts("E.h1", "E.h2", "E.h3"), parts("E.z"), parts("E.d")
        self.old = torch.zeros(())

    def cycle(self, d):
        e, g = self.group["E"], self.group["G"]
        loss_wake, z = wake_loss(e, g, d)
        grads = self.slopes(loss_wake, *e, *g)
        self.step("E", grads)
        self.step("G", grads)
        memory = z.detach()

        with torch.no_grad():
            xn = dream(g, memory) * d["mask"]
        loss_nrem = replay_loss(e, xn, memory)
        self.step("E", self.slopes(loss_nrem, *self.trunk, *self.z))

        xd = dream(g, mixture(d, memory, self.old))
        seen = xd.detach().requires_grad_()
        loss_rem = game_loss(e, seen)
        names = self.trunk + self.d
        *mine, slope = torch.autograd.grad(loss_rem, [self.w[n] for n in names] + [seen])
        theirs = dict(zip(g, torch.autograd.grad(xd, list(g.values()), -slope)))
        self.step("E", dict(zip(names, mine)))
        self.step("G", theirs)
        self.old = memory
        return loss_wake, loss_nrem, loss_rem


def whole(state, d, old):
    """`old`: the last cycle's latents, changed in place."""
    e, g = state["E"], state["G"]
    (of_e, of_g), (loss_wake, memory) = torch.func.grad_and_value(wake_loss, argnums=(0, 1), has_aux=True)(e["w"], g["w"], d)
    twin.adam(e, of_e, **pad.ADAM)
    twin.adam(g, of_g, **pad.ADAM)

    xn = dream(g["w"], memory) * d["mask"]
    of_e, loss_nrem = torch.func.grad_and_value(replay_loss)(e["w"], xn, memory)
    twin.adam(e, of_e, **pad.ADAM)

    mix = mixture(d, memory, old)
    xd, pull = torch.func.vjp(lambda w: dream(w, mix), g["w"])
    (of_e, slope), loss_rem = torch.func.grad_and_value(game_loss, argnums=(0, 1))(e["w"], xd)
    of_g = pull(-slope)[0]
    twin.adam(e, of_e, **pad.ADAM)
    twin.adam(g, of_g, **pad.ADAM)
    old.copy_(memory)
    return loss_wake, loss_nrem, loss_rem


class Compiled(twin.Compiled):
    def __init__(self, weights):
        super().__init__(weights, pad.GROUPS, whole)
        self.old = None

    def cycle(self, d):
        if self.old is None:
            self.old = torch.zeros_like(d["eps"])
        return self.step(self.state, laid(d), self.old)


# ---- running ---------------------------------------------------------------------------------------------------------
def laid(d):
    return d | {"image": d["image"].contiguous(memory_format=LAST)}


def inputs():
    draws = pad.Draws(args)

    def draw():
        d = twin.tensors(draws.next())
        d["image"] = d["image"].to(torch.float32, memory_format=LAST).mul_(2 / 255).sub_(1)
        return d | {"eps": torch.randn(args.batch, pad.LATENTS)}

    return draw


if __name__ == "__main__":
    twin.drive(args, {"eager": Eager, "compile": Compiled}[args.mode], pad.initial, inputs, pad.reference, lay, unlay)
