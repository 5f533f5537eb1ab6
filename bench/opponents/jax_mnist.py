#!/usr/bin/env python3
"""JAX as an opponent: mnist-oscillation and mnist-global, one jitted function for the whole cycle, Adam and noise included.

Made strong as the twin in PyTorch is (torch_mnist.py): the penalty written out, real and generated through one critic call,
heads joined, state donated, the cheaper random generator. JAX has no switch for its threads: the process is pinned to as many
processors. --check proves it equal to tests/reference.
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
    pin,
    serve,
)

args = arguments(["jit"], __doc__)
pin(args.threads)
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", args.check)
jax.config.update("jax_default_prng_impl", "unsafe_rbg")
jax.config.update("jax_compilation_cache_dir", None)


def linear(w, at, h):
    return h @ w[f"{at}.w"].T + w[f"{at}.b"]


def gaussian(w, at, h, noise):
    mean, raw = jnp.split(linear(w, f"{at}.head", jax.nn.relu(linear(w, f"{at}.a", h))), 2, axis=1)
    return mean + jax.nn.softplus(raw) * noise


def settle(w, at, h, noise_s, noise_r):
    s = gaussian(w, f"{at}.s", h, noise_s)
    return (s + gaussian(w, f"{at}.r", s, noise_r)) / 2


def leaky(h):
    return jnp.where(h > 0, h, 0.2 * h)


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
    return z, settle(w, "down", z if args.model == "oscillation" else d["prior"], d["x_s"], d["x_r"])


def sides(d, z, x):
    if args.model == "oscillation":
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
    if args.model == "global":
        wake, other, _ = sides(d, z, x)["both"]
        return critic(w, "D.both", wake)[0].mean() - critic(w, "D.both", other)[0].mean()
    real, a1, a2 = critic(w, "D.x", d["image"])
    fake, b1, b2 = critic(w, "D.x", x)
    features = (((a1 - b1) ** 2).sum() + ((a2 - b2) ** 2).sum()) / x.shape[0]
    gap_z = critic(w, "D.z", z)[0].mean() - critic(w, "D.z", d["prior"])[0].mean()
    return real.mean() - fake.mean() + features + gap_z


def adam(w, m, v, grads, count, lr, decay):
    c1, c2 = 1 - BETA1**count, jnp.sqrt(1 - BETA2**count)
    out_w, out_m, out_v = {}, {}, {}
    for n, g in grads.items():
        g = g + decay * w[n]
        out_m[n] = BETA1 * m[n] + (1 - BETA1) * g
        out_v[n] = BETA2 * v[n] + (1 - BETA2) * g * g
        out_w[n] = w[n] - lr / c1 * out_m[n] / (jnp.sqrt(out_v[n]) / c2 + EPS)
    return out_w, out_m, out_v


def trained(state, d):
    """One cycle on given inputs."""
    (nets, nets_m, nets_v), (critics, critics_m, critics_v), count = state
    count = count + 1
    (z, x), pull = jax.vjp(lambda w: states(w, d), nets)
    loss_d, grads = jax.value_and_grad(critic_loss)(critics, d, z, x)
    critics, critics_m, critics_v = adam(critics, critics_m, critics_v, grads, count, LR_CRITIC, 0.0)
    loss_net, (dz, dx) = jax.value_and_grad(network_loss, argnums=(2, 3))(critics, d, z, x)
    nets, nets_m, nets_v = adam(nets, nets_m, nets_v, pull((dz, dx))[0], count, LR, DECAY)
    return ((nets, nets_m, nets_v), (critics, critics_m, critics_v), count), (loss_d, loss_net)


def begin(weights, dtype):
    """Every leaf an array of its own: the state is donated, and a buffer can be given away once."""

    def group(mine):
        w = {n: jnp.array(a, dtype) for n, a in weights.items() if n.startswith("D.") == mine}
        return w, *({n: jnp.array(np.zeros(a.shape), dtype) for n, a in w.items()} for _ in range(2))

    return group(False), group(True), jnp.zeros((), dtype)


def main():
    if args.check:
        held, given = {}, jax.jit(trained)

        def start(weights):
            held["state"] = begin(weights, jnp.float64)

        def step(inputs):
            held["state"], losses = given(held["state"], {n: jnp.array(a) for n, a in inputs.items()})
            nets, critics, _ = held["state"]
            return [float(v) for v in losses], {n: np.asarray(a) for n, a in (nets[0] | critics[0]).items()}

        check(args.model, start, step)
    images = mnist(args.data, args.batch)
    batches = Batches(len(images), args.batch)
    normals, uniforms = noise_shapes(args.model, args.batch)

    def whole(state, key, image):
        key, *keys = jax.random.split(key, 1 + len(normals) + len(uniforms))
        d = {n: jax.random.normal(k, shape) for k, (n, shape) in zip(keys, normals.items())}
        d |= {n: jax.random.uniform(k, (args.batch,)) for k, n in zip(keys[len(normals) :], uniforms)}
        state, losses = trained(state, d | {"image": image})
        return state, key, losses

    step = jax.jit(whole, donate_argnums=(0, 1))
    held = {"state": begin(initial(args.model), jnp.float32), "key": jax.random.key(0)}

    def cycle():
        held["state"], held["key"], losses = step(held["state"], held["key"], images[batches.next()])
        jax.block_until_ready((held["state"], losses))

    serve(args, {"jax": jax.__version__, "numpy": np.__version__}, cycle)


if __name__ == "__main__":
    main()
