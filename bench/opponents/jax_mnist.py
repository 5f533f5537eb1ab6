#!/usr/bin/env python3
"""JAX as an opponent: mnist-oscillation and mnist-global.

Made strong as the twin in PyTorch is (torch_mnist.py): the penalty written out, real and generated through one critic call,
heads joined; and as jax_twin.py says. --check proves it equal to tests/reference.
"""

import jax
import jax.numpy as jnp

import jax_twin as twin
import mnist
from common import Batches
from common import mnist as mnist_images
from jax_twin import leaky, linear

args = twin.begin(mnist.MODELS, __doc__)


def gaussian(w, at, h, noise):
    mean, raw = jnp.split(linear(w, f"{at}.head", jax.nn.relu(linear(w, f"{at}.a", h))), 2, axis=1)
    return mean + jax.nn.softplus(raw) * noise


def settle(w, at, h, noise_s, noise_r):
    s = gaussian(w, f"{at}.s", h, noise_s)
    return (s + gaussian(w, f"{at}.r", s, noise_r)) / 2


def critic(w, at, h):
    f1 = leaky(linear(w, f"{at}.f1", h))
    f2 = leaky(linear(w, f"{at}.f2", f1))
    return linear(w, f"{at}.out", f2), f1, f2


def penalty(w, at, mix):
    """G1 for a piecewise linear critic: masks of one forward pass, then the slope as two products, differentiated once."""
    held = jax.lax.stop_gradient(w)
    h1 = linear(held, f"{at}.f1", mix)
    m1 = jnp.where(h1 > 0, 1.0, 0.2)
    m2 = jnp.where(linear(held, f"{at}.f2", m1 * h1) > 0, 1.0, 0.2)
    slope = ((w[f"{at}.out.w"] * m2) @ w[f"{at}.f2.w"] * m1) @ w[f"{at}.f1.w"]
    return jnp.mean((jnp.sqrt(jnp.sum(slope**2, 1)) - 1) ** 2)


def states(w, d):
    z = settle(w, "up", d["image"], d["z_s"], d["z_r"])
    return z, settle(w, "down", z if args.model == "mnist-oscillation" else d["prior"], d["x_s"], d["x_r"])


def sides(d, z, x):
    if args.model == "mnist-oscillation":
        return {"x": (d["image"], x, d["t_x"]), "z": (z, d["prior"], d["t_z"])}
    return {"both": (jnp.concatenate([d["image"], z], 1), jnp.concatenate([x, d["prior"]], 1), d["t"])}


def critic_loss(w, d, z, x):
    total = 0.0
    for at, (wake, other, t) in sides(d, z, x).items():
        wake_score, other_score = jnp.split(critic(w, f"D.{at}", jnp.concatenate([wake, other]))[0], 2)
        mix = t[:, None] * wake + (1 - t[:, None]) * other
        total = total + other_score.mean() - wake_score.mean() + penalty(w, f"D.{at}", mix)
    return total


def network_loss(w, d, z, x):
    if args.model == "mnist-global":
        wake, other, _ = sides(d, z, x)["both"]
        return critic(w, "D.both", wake)[0].mean() - critic(w, "D.both", other)[0].mean()
    real, a1, a2 = critic(w, "D.x", d["image"])
    fake, b1, b2 = critic(w, "D.x", x)
    features = (((a1 - b1) ** 2).sum() + ((a2 - b2) ** 2).sum()) / x.shape[0]
    gap_z = critic(w, "D.z", z)[0].mean() - critic(w, "D.z", d["prior"])[0].mean()
    return real.mean() - fake.mean() + features + gap_z


def trained(state, d):
    """One cycle on given inputs."""
    nets, critics = state["nets"], state["critics"]
    (z, x), pull = jax.vjp(lambda w: states(w, d), nets[0])
    loss_d, grads = jax.value_and_grad(critic_loss)(critics[0], d, z, x)
    critics = twin.adam(critics, grads, **mnist.CRITICS)
    loss_net, (dz, dx) = jax.value_and_grad(network_loss, argnums=(2, 3))(critics[0], d, z, x)
    nets = twin.adam(nets, pull((dz, dx))[0], **mnist.NETS)
    return {"nets": nets, "critics": critics}, (loss_d, loss_net)


def inputs():
    images, _ = mnist_images(args.data)
    batches = Batches(len(images), args.batch)
    return lambda: {"image": images[batches.next()[0]]}


def draws(key, d):
    normals, uniforms = mnist.noise_shapes(args.model, args.batch)
    key, *keys = jax.random.split(key, 1 + len(uniforms))
    d = {"image": d["image"].astype(jnp.float32) / 255} | twin.normals(key, normals)
    return d | {n: jax.random.uniform(k, (args.batch,)) for k, n in zip(keys, uniforms)}


if __name__ == "__main__":
    fresh = lambda weights: twin.state(weights, mnist.GROUPS)
    initial, case = lambda: mnist.initial(args.model), lambda: mnist.reference(args.model)
    twin.drive(args, fresh, trained, initial, inputs, draws, case)
