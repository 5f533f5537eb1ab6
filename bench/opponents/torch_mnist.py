#!/usr/bin/env python3
"""PyTorch as an opponent: mnist-oscillation and mnist-global, eager or as one compiled graph.

What makes it strong: the gradient penalty written out (no double backward), real and generated stacked through one critic
call, the two heads of a population as one product, no gradient where none is used, fused Adam; under torch.compile the whole
cycle, Adam included, is one graph. --check proves it equal to tests/reference, whose penalty is a double backward.
"""

import torch
import torch.nn.functional as F

import mnist
import torch_twin as twin
from common import Batches
from common import mnist as mnist_images

args = twin.begin(mnist.MODELS, __doc__)


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
    return z, settle(w, "down", z if args.model == "mnist-oscillation" else d["prior"], d["x_s"], d["x_r"])


def sides(d, z, x):
    """critic -> (wake, other, mixing numbers)."""
    if args.model == "mnist-oscillation":
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
    if args.model == "mnist-global":
        wake, other, _ = sides(d, z, x)["both"]
        return critic(w, "D.both", wake)[0].mean() - critic(w, "D.both", other)[0].mean()
    with torch.no_grad():
        real, a1, a2 = critic(w, "D.x", d["image"])
        prior = critic(w, "D.z", d["prior"])[0].mean()
    fake, b1, b2 = critic(w, "D.x", x)
    features = (((a1 - b1) ** 2).sum() + ((a2 - b2) ** 2).sum()) / x.shape[0]
    return real.mean() - fake.mean() + features + critic(w, "D.z", z)[0].mean() - prior


# ---- the two ways ----------------------------------------------------------------------------------------------------
class Eager(twin.Eager):
    def __init__(self, weights):
        super().__init__(weights, mnist.GROUPS, {"critics": mnist.CRITICS, "nets": mnist.NETS})

    def cycle(self, d):
        z, x = states(self.w, d)
        loss_d = critic_loss(self.w, d, z.detach(), x.detach())
        self.step("critics", self.slopes(loss_d, *self.group["critics"]))
        frozen = {n: a.detach() for n, a in self.group["critics"].items()}
        loss_net = network_loss(frozen, d, z, x)
        self.step("nets", self.slopes(loss_net, *self.group["nets"]))
        return loss_d, loss_net


def whole(state, d):
    critics, nets = state["critics"], state["nets"]
    (z, x), pull = torch.func.vjp(lambda w: states(w, d), nets["w"])
    grads, loss_d = torch.func.grad_and_value(critic_loss)(critics["w"], d, z, x)
    twin.adam(critics, grads, **mnist.CRITICS)
    (dz, dx), loss_net = torch.func.grad_and_value(network_loss, argnums=(2, 3))(critics["w"], d, z, x)
    twin.adam(nets, pull((dz, dx))[0], **mnist.NETS)
    return loss_d, loss_net


# ---- running ---------------------------------------------------------------------------------------------------------
def inputs():
    images = torch.tensor(mnist_images(args.data)[0])
    batches, (normals, uniforms) = Batches(len(images), args.batch), mnist.noise_shapes(args.model, args.batch)

    def draw():
        d = {n: torch.randn(shape) for n, shape in normals.items()}
        d |= {n: torch.rand(args.batch) for n in uniforms}
        return d | {"image": images[torch.from_numpy(batches.next()[0])] / 255}

    return draw


if __name__ == "__main__":
    train = Eager if args.mode == "eager" else lambda weights: twin.Compiled(weights, mnist.GROUPS, whole)
    twin.drive(args, train, lambda: mnist.initial(args.model), inputs, lambda: mnist.reference(args.model))
