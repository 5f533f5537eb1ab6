#!/usr/bin/env python3
"""JAX as an opponent: cifar-six, made strong as the twin in PyTorch is (torch_cifar_six.py) and as jax_twin.py says. --check
proves it equal to tests/reference.
"""

import jax
import jax.numpy as jnp

import cifar_six as six
import jax_twin as twin
from common import Batches, cifar
from jax_twin import leaky

args = twin.begin(six.MODELS, __doc__)
MINE = six.OSCILLATION + six.SLEEP  # how often wake counts


# ---- layers: every kernel is a matrix over its window; of 4x4 with stride 2, of 2x2 on 2x2 images, of 1x1 ------------------
def conv(w, at, x):
    matrix, bias = w[f"{at}.weight"], w[f"{at}.bias"]
    area = len(matrix) // x.shape[3]
    if area == 16:
        return twin.conv(x, matrix) + bias
    return (x.reshape(len(x), 1, 1, -1) if area == 4 else x) @ matrix + bias


def transposed(matrix, x, depth):
    area = len(matrix) // depth
    if area == 16:
        return twin.conv_transpose(x, matrix)
    y = x @ matrix.T
    return y.reshape(len(x), 2, 2, depth) if area == 4 else y


def rate(x):
    return jax.lax.rsqrt(jnp.mean(x * x, 3, keepdims=True) + 1e-8)


def population(w, at, a, noise, normed):
    mean, raw = jnp.split(conv(w, f"{at}.mean", jax.nn.relu(a)), 2, 3)
    z = mean + jax.nn.softplus(raw) * noise
    if not normed:
        return z
    z = jax.nn.relu(z)
    return z * rate(z)


def features(w, at, h):
    p1 = conv(w, f"{at}.f1", h)
    f1 = leaky(p1 * rate(p1))
    p2 = conv(w, f"{at}.f2", f1)
    return f1, leaky(p2 * rate(p2))


def score(w, at, f2):
    return f2.reshape(len(f2), -1) @ w[f"{at}.weight"].T + w[f"{at}.bias"]


def penalty(w, at, mix):
    """G1, written out: torch_cifar_six.py."""
    p1 = conv(w, f"{at}.f1", mix)
    r1 = rate(p1)
    y1 = p1 * r1
    p2 = conv(w, f"{at}.f2", leaky(y1))
    r2 = rate(p2)
    y2 = p2 * r2
    mask = lambda y: jnp.where(jax.lax.stop_gradient(y) > 0, 1.0, 0.2)
    back = lambda g, y, r: r * (g - y * jnp.mean(g * y, 3, keepdims=True))
    g2 = w[f"{at}.weight"].reshape(1, *y2.shape[1:]) * mask(y2)
    g1 = transposed(w[f"{at}.f2.weight"], back(g2, y2, r2), y1.shape[3]) * mask(y1)
    slope = transposed(w[f"{at}.f1.weight"], back(g1, y1, r1), mix.shape[3])
    return jnp.mean((jnp.sqrt(jnp.sum(slope * slope, (1, 2, 3))) - 1) ** 2)


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
        matrix, bias = w[f"{at}.a.weight"], w[f"{at}.a.bias"]
        a = transposed(matrix, jnp.concatenate([wake[l + 1], sleep]), len(bias)) + bias
        pair[l] = population(w, at, a, d[f"d{l}"], l > 0)
        sleep = pair[l][len(d["image"]) :]
    return wake[1:], pair[:5]


def sides(d, wake, pair):
    return zip(six.LAYERS, [d["image"], *wake], [*pair, d["prior"]])


def gap(scores):
    of_wake, of_oscillation, of_sleep = (s.mean() for s in jnp.split(scores, 3))
    return MINE * of_wake - six.OSCILLATION * of_oscillation - six.SLEEP * of_sleep


def critic_loss(w, d, wake, pair):
    total = 0.0
    for l, (name, mine, others) in enumerate(sides(d, wake, pair)):
        at, t = f"D.{name}", d["t"][l][:, None, None, None]
        _, f2 = features(w, at, jnp.concatenate([mine, others]))
        mix = t * mine + (1 - t) * others[: len(mine)]
        total = total - gap(score(w, at, f2)) + penalty(w, at, mix)
    return total


def network_loss(w, d, wake, pair):
    total, rows = 0.0, len(d["image"])
    for name, mine, others in sides(d, wake, pair):
        at = f"D.{name}"
        if name == "x":
            taps = [jnp.concatenate(both) for both in zip(features(w, at, mine), features(w, at, others))]
        else:
            taps = features(w, at, jnp.concatenate([mine, others]))
        total = total + gap(score(w, at, taps[1]))
        if name != "z5":
            total = total + sum(jnp.sum((f[:rows] - f[rows : 2 * rows]) ** 2) for f in taps) / rows
    return total


def trained(state, d):
    """One cycle on given inputs."""
    critics, nets = state["critics"], state["nets"]
    (wake, pair), pull = jax.vjp(lambda w: states(w, d), nets[0])
    loss_d, grads = jax.value_and_grad(critic_loss)(critics[0], d, wake, pair)
    critics = twin.adam(critics, grads, **six.CRITICS)
    loss_net, slopes = jax.value_and_grad(network_loss, argnums=(2, 3))(critics[0], d, wake, pair)
    nets = twin.adam(nets, pull(slopes)[0], **six.NETS)
    return {"nets": nets, "critics": critics}, (loss_d, loss_net)


# ---- layouts ---------------------------------------------------------------------------------------------------------
def lay(named):
    w = twin.arrays(named)
    flat = lambda a: a.transpose(2, 3, 1, 0).reshape(-1, len(a))
    for l, name in enumerate(six.LAYERS):
        at, size = f"D.{name}.weight", six.readout_size(l)
        w[at] = w[at].reshape(-1, size, size).transpose(1, 2, 0).reshape(1, -1)
    return {n: (twin.window(a) if a.shape[2] == 4 else flat(a)) if a.ndim == 4 else a for n, a in w.items()}


def unlay_to(shapes):
    """Back to kernels of these shapes."""

    def unlay(w):
        out = {}
        for n, a in w.items():
            s = shapes[n]
            if len(s) == 4:
                a = twin.unwindow(a) if s[2] == 4 else a.reshape(s[2], s[3], s[1], s[0]).transpose(3, 2, 0, 1)
            elif n.startswith("D.") and n.count(".") == 2 and n.endswith(".weight"):
                size = six.readout_size(six.LAYERS.index(n.split(".")[1]))
                a = a.reshape(size, size, -1).transpose(2, 0, 1).reshape(1, -1)
            out[n] = a
        return out

    return unlay


# ---- running ---------------------------------------------------------------------------------------------------------
def last(shape):
    return shape[0], *shape[2:], shape[1]


def inputs():
    images, _ = cifar(args.data)
    batches = Batches(len(images), args.batch)
    return lambda: {"image": images[batches.next()[0]]}


def draws(key, d):
    key, mixing = jax.random.split(key)
    normals = twin.normals(key, {n: last(s) for n, s in six.noise_shapes(args.batch).items()})
    image = d["image"].transpose(0, 2, 3, 1).astype(jnp.float32) * (2 / 255) - 1
    return normals | {"image": image, "t": jax.random.uniform(mixing, (6, args.batch))}


def main():
    fresh = lambda weights: twin.state(weights, six.GROUPS)
    known = six.reference() if args.check else None
    unlay = unlay_to({n: a.shape for n, a in known[0].items()}) if known else None

    def case():
        weights, cycles = known
        turned = lambda d: {n: a.transpose(0, 2, 3, 1) if a.ndim == 4 else a for n, a in d.items()}
        return weights, [(turned(d), losses, after) for d, losses, after in cycles]

    twin.drive(args, fresh, trained, six.initial, inputs, draws, case, lay, unlay)


if __name__ == "__main__":
    main()
