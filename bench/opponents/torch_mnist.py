#!/usr/bin/env python3
"""PyTorch as an opponent: mnist-oscillation and mnist-global, eager or as one compiled graph.

What makes it strong: the gradient penalty written out (no double backward), real and generated stacked through one critic
call, the two heads of a population as one product, no gradient where none is used, fused Adam; under torch.compile the whole
cycle, Adam included, is one graph. --check proves it equal to tests/reference, whose penalty is a double backward.
"""

import os

from common import (
    BETA1,
    BETA2,
    DECAY,
    EPS,
    LR,
    LR_CRITIC,
    Batches,
    arguments,
    check,
    initial,
    mnist,
    noise_shapes,
    serve,
)

args = arguments(["eager", "compile"], __doc__)
os.environ.setdefault("OMP_NUM_THREADS", str(args.threads))

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(args.threads)
torch.set_num_interop_threads(1)
DTYPE = torch.float64 if args.check else torch.float32
torch.set_default_dtype(DTYPE)


# ---- the model -------------------------------------------------------------------------------------------------------
def gaussian(w, at, h, noise):
    a = torch.relu(F.linear(h, w[f"{at}.a.w"], w[f"{at}.a.b"]))
    mean, raw = F.linear(a, w[f"{at}.head.w"], w[f"{at}.head.b"]).chunk(2, 1)
    return torch.addcmul(mean, F.softplus(raw, threshold=80), noise)


def settle(w, at, h, noise_s, noise_r):
    s = gaussian(w, f"{at}.s", h, noise_s)
    return (s + gaussian(w, f"{at}.r", s, noise_r)) / 2


def critic(w, at, h):
    f1 = F.leaky_relu(F.linear(h, w[f"{at}.f1.w"], w[f"{at}.f1.b"]), 0.2)
    f2 = F.leaky_relu(F.linear(f1, w[f"{at}.f2.w"], w[f"{at}.f2.b"]), 0.2)
    return F.linear(f2, w[f"{at}.out.w"], w[f"{at}.out.b"]), f1, f2


def penalty(w, at, mix):
    """G1 for a piecewise linear critic: masks of one forward pass, then the slope as two products, differentiated once."""
    with torch.no_grad():
        h1 = F.linear(mix, w[f"{at}.f1.w"], w[f"{at}.f1.b"])
        m1 = torch.where(h1 > 0, 1.0, 0.2)
        h2 = F.linear(m1 * h1, w[f"{at}.f2.w"], w[f"{at}.f2.b"])
        m2 = torch.where(h2 > 0, 1.0, 0.2)
    slope = ((w[f"{at}.out.w"] * m2) @ w[f"{at}.f2.w"] * m1) @ w[f"{at}.f1.w"]
    return ((torch.linalg.vector_norm(slope, dim=1) - 1) ** 2).mean()


def states(w, d):
    """The differentiable nodes: of oscillation z in wake and x in oscillation, of global z in wake and x in sleep."""
    z = settle(w, "up", d["image"], d["z_s"], d["z_r"])
    return z, settle(w, "down", z if args.model == "oscillation" else d["prior"], d["x_s"], d["x_r"])


def sides(d, z, x):
    """critic -> (wake, other, mixing numbers)."""
    if args.model == "oscillation":
        return {"x": (d["image"], x, d["t_x"]), "z": (z, d["prior"], d["t_z"])}
    return {"both": (torch.cat([d["image"], z], 1), torch.cat([x, d["prior"]], 1), d["t"])}


def critic_loss(w, d, z, x):
    total = 0
    for at, (wake, other, t) in sides(d, z, x).items():
        scores = critic(w, f"D.{at}", torch.cat([wake, other]))[0]
        wake_score, other_score = scores.chunk(2)
        total = (
            total
            + other_score.mean()
            - wake_score.mean()
            + penalty(w, f"D.{at}", torch.lerp(other, wake, t[:, None]))
        )
    return total


def network_loss(w, d, z, x):
    """As the networks see it; the sides that carry no gradient are evaluated without one."""
    if args.model == "global":
        wake, other, _ = sides(d, z, x)["both"]
        return critic(w, "D.both", wake)[0].mean() - critic(w, "D.both", other)[0].mean()
    with torch.no_grad():
        real, a1, a2 = critic(w, "D.x", d["image"])
        prior = critic(w, "D.z", d["prior"])[0].mean()
    fake, b1, b2 = critic(w, "D.x", x)
    features = (((a1 - b1) ** 2).sum() + ((a2 - b2) ** 2).sum()) / x.shape[0]
    return real.mean() - fake.mean() + features + critic(w, "D.z", z)[0].mean() - prior


# ---- eager -----------------------------------------------------------------------------------------------------------
class Eager:
    def __init__(self, weights):
        self.w = {n: torch.tensor(a, dtype=DTYPE, requires_grad=True) for n, a in weights.items()}
        self.nets = [n for n in self.w if not n.startswith("D.")]
        self.critics = [n for n in self.w if n.startswith("D.")]
        made = dict(betas=(BETA1, BETA2), eps=EPS, fused=True)
        self.adam_net = torch.optim.Adam([self.w[n] for n in self.nets], lr=LR, weight_decay=DECAY, **made)
        self.adam_critic = torch.optim.Adam([self.w[n] for n in self.critics], lr=LR_CRITIC, **made)

    def take(self, names, grads):
        """Fused Adam walks raw memory: a gradient that lies differently than its parameter must be copied first."""
        for n, g in zip(names, grads):
            self.w[n].grad = g if g.stride() == self.w[n].stride() else g.contiguous()

    def cycle(self, d):
        z, x = states(self.w, d)
        loss_d = critic_loss(self.w, d, z.detach(), x.detach())
        self.take(self.critics, torch.autograd.grad(loss_d, [self.w[n] for n in self.critics]))
        self.adam_critic.step()
        frozen = {n: self.w[n].detach() for n in self.critics}
        loss_net = network_loss(frozen, d, z, x)
        self.take(self.nets, torch.autograd.grad(loss_net, [self.w[n] for n in self.nets]))
        self.adam_net.step()
        return loss_d, loss_net


# ---- one graph -------------------------------------------------------------------------------------------------------
def adam(w, m, v, grads, count, lr, decay):
    """In place on w, m, v; `count` is a tensor, so that the graph is compiled once."""
    c1, c2 = 1 - BETA1**count, torch.sqrt(1 - BETA2**count)
    for n, g in grads.items():
        g = g + decay * w[n] if decay else g
        first = BETA1 * m[n] + (1 - BETA1) * g
        second = BETA2 * v[n] + (1 - BETA2) * g * g
        m[n].copy_(first)
        v[n].copy_(second)
        w[n].copy_(w[n] - lr / c1 * first / (torch.sqrt(second) / c2 + EPS))


def whole(nets, critics, m, v, count, d):
    (z, x), pull = torch.func.vjp(lambda w: states(w, d), nets)
    grads, loss_d = torch.func.grad_and_value(critic_loss)(critics, d, z, x)
    adam(critics, m, v, grads, count, LR_CRITIC, 0.0)
    (dz, dx), loss_net = torch.func.grad_and_value(network_loss, argnums=(2, 3))(critics, d, z, x)
    adam(nets, m, v, pull((dz, dx))[0], count, LR, DECAY)
    return loss_d, loss_net


class Compiled:
    def __init__(self, weights):
        self.w = {n: torch.tensor(a, dtype=DTYPE) for n, a in weights.items()}
        self.nets = {n: a for n, a in self.w.items() if not n.startswith("D.")}
        self.critics = {n: a for n, a in self.w.items() if n.startswith("D.")}
        self.m = {n: torch.zeros_like(a) for n, a in self.w.items()}
        self.v = {n: torch.zeros_like(a) for n, a in self.w.items()}
        self.count = torch.zeros((), dtype=torch.float64)
        self.step = torch.compile(whole, fullgraph=True)

    def cycle(self, d):
        self.count += 1
        return self.step(self.nets, self.critics, self.m, self.v, self.count, d)


# ---- running ---------------------------------------------------------------------------------------------------------
def main():
    kind = {"eager": Eager, "compile": Compiled}[args.mode]
    if args.check:
        held = {}

        def start(weights):
            held["trainer"] = kind(weights)

        def step(inputs):
            losses = held["trainer"].cycle({n: torch.tensor(a) for n, a in inputs.items()})
            return [v.item() for v in losses], {n: a.detach().numpy() for n, a in held["trainer"].w.items()}

        check(args.model, start, step)
    images = torch.tensor(mnist(args.data, args.batch))
    batches, trainer = Batches(len(images), args.batch), kind(initial(args.model))
    normals, uniforms = noise_shapes(args.model, args.batch)
    torch.manual_seed(0)

    def cycle():
        d = {n: torch.randn(shape) for n, shape in normals.items()}
        d |= {n: torch.rand(args.batch) for n in uniforms}
        d["image"] = images[torch.from_numpy(batches.next())]
        loss_d, loss_net = trainer.cycle(d)
        return loss_d.item(), loss_net.item()

    serve(args, {"torch": torch.__version__, "numpy": np.__version__}, cycle)


if __name__ == "__main__":
    main()
