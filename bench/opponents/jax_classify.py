#!/usr/bin/env python3
"""JAX as an opponent: two classifiers, made strong as the twin in PyTorch is (torch_classify.py) and as jax_twin.py says.
--check proves it equal to plain.py.
"""

import jax
import jax.numpy as jnp

import classify
import jax_twin as twin

args = twin.begin(classify.MODELS, __doc__)
DENSE = args.model == "mlp"


def lay(named):
    """Matrices [units, inputs]; kernels as windows, the readout's over (row, column, depth)."""
    w = twin.arrays(named)
    for n, a in w.items():
        if a.ndim == 4:
            w[n] = a.transpose(0, 2, 3, 1).reshape(len(a), -1) if n == "C.weight" else twin.window(a)
    return w


def unlay(w):
    back = lambda n, a: a.reshape(10, 4, 4, -1).transpose(0, 3, 1, 2) if n == "C.weight" else twin.unwindow(a)
    return w if DENSE else {n: back(n, a) if n.endswith(".weight") else a for n, a in w.items()}


def logits(w, h):
    for layer in ("C.h1", "C.h2") if DENSE else ("C.h1", "C.h2", "C.h3"):
        kernel, bias = w[f"{layer}.weight"], w[f"{layer}.bias"]
        h = jax.nn.relu(h @ kernel.T + bias) if DENSE else twin.leaky(twin.conv(h, kernel) + bias)
    return h.reshape(len(h), -1) @ w["C.weight"].T + w["C.bias"]


def loss_of(w, d):
    scores = jax.nn.log_softmax(logits(w, d["image"]))
    return -jnp.mean(jnp.take_along_axis(scores, d["label"][:, None], 1))


def trained(state, d):
    loss, grads = jax.value_and_grad(loss_of)(state["C"][0], d)
    return {"C": twin.adam(state["C"], grads, **classify.ADAM)}, (loss,)


def draws(_, d):
    if DENSE:
        return d | {"image": d["image"].astype(jnp.float32) / 255}
    return d | {"image": d["image"].transpose(0, 2, 3, 1).astype(jnp.float32) * (2 / 255) - 1}


def case():
    weights, cycles = classify.case(args.model)
    last = lambda d: d if DENSE else d | {"image": d["image"].transpose(0, 2, 3, 1)}
    return weights, [(last(d), losses, after) for d, losses, after in cycles]


if __name__ == "__main__":
    fresh = lambda weights: twin.state(weights, classify.GROUPS)
    initial = lambda: classify.initial(classify.SHAPES[args.model])
    twin.drive(args, fresh, trained, initial, lambda: classify.Draws(args).next, draws, case, lay, unlay)
