"""What the twins in JAX share: processors and types, layers as products, Adam, and how they meet the bench.

One jitted function is the whole cycle, Adam and noise included; its state is donated; the random generator is the cheaper one.
JAX has no switch for its threads: the process is pinned to as many processors. Its convolutions are slow on a CPU, their
gradients very slow (a fifth of PyTorch's speed on PAD), so a 4x4 window of stride 2 is written as a product over 2x2 blocks.
"""

import os

os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import jax.numpy as jnp
import numpy as np

from common import EPS, arguments, check, pin, serve


def begin(models, about):
    args = arguments(models, ["jit"], about)
    pin(args.threads)
    jax.config.update("jax_enable_x64", args.check)
    jax.config.update("jax_default_prng_impl", "unsafe_rbg")
    jax.config.update("jax_compilation_cache_dir", None)
    return args


def arrays(named):
    """Numbers become the default type; bytes and integers stay what they are."""
    default = jnp.float64 if jax.config.jax_enable_x64 else jnp.float32
    return {n: jnp.array(a, None if np.asarray(a).dtype.kind in "iu" else default) for n, a in named.items()}


# ---- layers; images are [batch, row, column, depth] ---------------------------------------------------------------------
def linear(w, at, h):
    return h @ w[f"{at}.w"].T + w[f"{at}.b"]


def leaky(h):
    return jnp.where(h > 0, h, 0.2 * h)


def blocks(x):
    """[B, 2R, 2C, D] -> [B, R, C, 4D]"""
    b, r, c, d = x.shape
    return x.reshape(b, r // 2, 2, c // 2, 2, d).transpose(0, 1, 3, 2, 4, 5).reshape(b, r // 2, c // 2, 4 * d)


def unblocks(x):
    b, r, c, d = x.shape
    return x.reshape(b, r, c, 2, 2, d // 4).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * r, 2 * c, d // 4)


def window(kernel):
    """Kernel [K, C, 4, 4] -> matrix [16 C, K] over (block's row and column, row and column in it, depth)."""
    k, c = kernel.shape[:2]
    return kernel.reshape(k, c, 2, 2, 2, 2).transpose(2, 4, 3, 5, 1, 0).reshape(16 * c, k)


def unwindow(matrix):
    rows, k = matrix.shape
    return matrix.reshape(2, 2, 2, 2, rows // 16, k).transpose(5, 4, 0, 2, 1, 3).reshape(k, rows // 16, 4, 4)


def conv(x, matrix):
    """4x4, stride 2, pad 1."""
    s = blocks(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))
    return jnp.concatenate([s[:, :-1, :-1], s[:, :-1, 1:], s[:, 1:, :-1], s[:, 1:, 1:]], 3) @ matrix


def conv_transpose(x, matrix):
    """The adjoint of conv: 4x4, stride 2, pad 1 of a kernel [in, out, 4, 4]."""
    parts = jnp.split(x @ matrix.T, 4, 3)
    at = lambda p, row, column: jnp.pad(p, ((0, 0), (row, 1 - row), (column, 1 - column), (0, 0)))
    s = at(parts[0], 0, 0) + at(parts[1], 0, 1) + at(parts[2], 1, 0) + at(parts[3], 1, 1)
    return unblocks(s)[:, 1:-1, 1:-1]


# ---- training --------------------------------------------------------------------------------------------------------
def state(weights, groups):
    """group -> (weights, moments, count). Every leaf an array of its own: a donated buffer can be given away once."""
    out = {}
    for g, prefixes in groups.items():
        w = {n: a for n, a in weights.items() if n.startswith(prefixes)}
        zeros = lambda: {n: jnp.array(np.zeros(a.shape, a.dtype)) for n, a in w.items()}
        out[g] = (w, zeros(), zeros(), jnp.array(np.zeros((), next(iter(w.values())).dtype)))
    return out


def adam(group, grads, lr, betas, weight_decay=0.0):
    """Weights that have no gradient take the step with zeros."""
    (w, m, v, count), (b1, b2) = group, betas
    count = count + 1
    c1, c2 = 1 - b1**count, jnp.sqrt(1 - b2**count)
    out_w, out_m, out_v = {}, {}, {}
    for n in w:
        g = grads[n] + weight_decay * w[n] if n in grads else 0.0
        out_m[n] = b1 * m[n] + (1 - b1) * g
        out_v[n] = b2 * v[n] + (1 - b2) * g * g
        out_w[n] = w[n] - lr / c1 * out_m[n] / (jnp.sqrt(out_v[n]) / c2 + EPS)
    return out_w, out_m, out_v, count


def drive(args, fresh, trained, initial, inputs, draws, case, lay=arrays, unlay=lambda w: w):
    """Checks, or serves the bench. `fresh(weights)`: state; `trained(state, d)` -> state, losses; `inputs()`: a function that
    gives what a cycle reads; `draws(key, d)` adds noise to that; else as torch_twin.drive.
    """
    if args.check:
        held, given = {}, jax.jit(trained)

        def start(weights):
            held["state"] = fresh(lay(weights))

        def step(d):
            held["state"], losses = given(held["state"], arrays(d))
            weights = {n: a for group in held["state"].values() if isinstance(group, tuple) for n, a in group[0].items()}
            return [float(v) for v in losses], {n: np.asarray(a) for n, a in unlay(weights).items()}

        check(case(), start, step)

    def whole(state, key, d):
        key, used = jax.random.split(key)
        state, losses = trained(state, draws(used, d))
        return state, key, losses

    step = jax.jit(whole, donate_argnums=(0, 1))
    held, read = {"state": fresh(lay(initial())), "key": jax.random.key(0)}, inputs()

    def cycle():
        held["state"], held["key"], losses = step(held["state"], held["key"], read())
        jax.block_until_ready((held["state"], losses))

    serve(args, {"jax": jax.__version__, "numpy": np.__version__}, cycle)


def normals(key, shapes):
    return {n: jax.random.normal(k, s) for k, (n, s) in zip(jax.random.split(key, len(shapes)), shapes.items())}
