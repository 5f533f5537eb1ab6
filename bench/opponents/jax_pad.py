#!/usr/bin/env python3
"""JAX as an opponent: PAD, made strong as the twin in PyTorch is (torch_pad.py) and as jax_twin.py says. --check proves it
equal to tests/reference.
"""

import jax
import jax.numpy as jnp
import numpy as np

import jax_twin as twin
import pad
from jax_twin import conv, conv_transpose, leaky

args = twin.begin(pad.MODELS, __doc__)


# ---- layouts ---------------------------------------------------------------------------------------------------------
def is_matrix(path):
    return path[: -len(".weight")] in [*pad.HEADS, "G.h1"]


def lay(named):
    """Kernels as windows; those of the heads and of G's first layer as matrices over (row, column, depth)."""
    w = twin.arrays(named)
    for n, a in w.items():
        if n.endswith(".weight"):
            w[n] = a.transpose(0, 2, 3, 1).reshape(len(a), -1) if is_matrix(n) else twin.window(a)
    return w


def unlay(w):
    back = lambda n, a: a.reshape(len(a), 4, 4, -1).transpose(0, 3, 1, 2) if is_matrix(n) else twin.unwindow(a)
    return {n: back(n, a) if n.endswith(".weight") else a for n, a in w.items()}


# ---- the model -------------------------------------------------------------------------------------------------------
def trunk(w, h):
    for layer in ("E.h1", "E.h2", "E.h3"):
        h = leaky(conv(h, w[f"{layer}.weight"]) + w[f"{layer}.bias"])
    return h.reshape(len(h), -1)


def head(w, at, h):
    return h @ w[f"{at}.weight"].T + w[f"{at}.bias"]


def dream(w, z):
    h = (z @ w["G.h1.weight"]).reshape(len(z), 4, 4, -1) + w["G.h1.bias"]
    for layer in ("G.h2", "G.h3", "G"):
        h = conv_transpose(leaky(h), w[f"{layer}.weight"]) + w[f"{layer}.bias"]
    return jnp.tanh(h)


def square(x):
    return jnp.mean(x * x)


def kl(z):
    v, m = jnp.var(z, 0, ddof=1), jnp.mean(z, 0)
    return jnp.mean((v + m * m - jnp.log(v) - 1) / 2)


def wake_loss(e, g, d):
    h = trunk(e, d["image"])
    z = head(e, "E.z", h)
    real = jnp.mean(jax.nn.softplus(-head(e, "E.d", h)))
    return square(dream(g, z) - d["image"]) + kl(z) + real, z


def replay_loss(e, xn, memory):
    return square(head(e, "E.z", trunk(e, xn)) - memory)


def game_loss(e, xd):
    return jnp.mean(jax.nn.softplus(head(e, "E.d", trunk(e, xd))))


def only(group, *layers):
    """The group's weights of these layers; what is left out has no gradient."""
    return {n: a for n, a in group[0].items() if n.rsplit(".", 1)[0] in layers}


def trained(state, d):
    """One cycle on given inputs."""
    e, g = state["E"], state["G"]
    (loss_wake, memory), (of_e, of_g) = jax.value_and_grad(wake_loss, argnums=(0, 1), has_aux=True)(e[0], g[0], d)
    e, g = twin.adam(e, of_e, **pad.ADAM), twin.adam(g, of_g, **pad.ADAM)

    xn = dream(g[0], memory) * d["mask"][:, :, None]
    loss_nrem, of_e = jax.value_and_grad(replay_loss)(only(e, "E.h1", "E.h2", "E.h3", "E.z"), xn, memory)
    e = twin.adam(e, of_e, **pad.ADAM)

    mix = d["share"][0] * memory + d["share"][1] * state["old"] + d["eps"] / 2
    xd, pull = jax.vjp(lambda w: dream(w, mix), g[0])
    mine = only(e, "E.h1", "E.h2", "E.h3", "E.d")
    loss_rem, (of_e, slope) = jax.value_and_grad(game_loss, argnums=(0, 1))(mine, xd)
    of_g = pull(-slope)[0]
    e, g = twin.adam(e, of_e, **pad.ADAM), twin.adam(g, of_g, **pad.ADAM)
    return {"E": e, "G": g, "old": memory}, (loss_wake, loss_nrem, loss_rem)


# ---- running ---------------------------------------------------------------------------------------------------------
def fresh(weights):
    z = weights["E.z.bias"]
    old = jnp.array(np.zeros((8 if args.check else args.batch, len(z)), z.dtype))
    return twin.state(weights, pad.GROUPS) | {"old": old}


def inputs():
    return pad.Draws(args).next


def draws(key, d):
    image = d["image"].transpose(0, 2, 3, 1).astype(jnp.float32) * (2 / 255) - 1
    return d | {"image": image, "eps": jax.random.normal(key, (args.batch, pad.LATENTS))}


def case():
    weights, cycles = pad.reference()
    last = lambda d: d | {"image": d["image"].transpose(0, 2, 3, 1)}
    return weights, [(last(d), losses, after) for d, losses, after in cycles]


if __name__ == "__main__":
    twin.drive(args, fresh, trained, pad.initial, inputs, draws, case, lay, unlay)
