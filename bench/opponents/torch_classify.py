#!/usr/bin/env python3
"""PyTorch as an opponent: two classifiers, eager or as one compiled graph with Adam in it.

What makes it strong: channels_last, the last layer as a product without a copy, activations in place, no gradient for the
images, fused Adam. --check proves it equal to plain.py.
"""

import torch
import torch.nn.functional as F

import classify
import torch_twin as twin

args = twin.begin(classify.MODELS, __doc__)
DENSE = args.model == "mlp"
LAST = torch.channels_last


def lay(arrays):
    """Kernels channels_last, the readout's as a matrix over (row, column, depth)."""
    w = twin.tensors(arrays)
    for n, a in w.items():
        if a.dim() == 4:
            w[n] = a.permute(0, 2, 3, 1).reshape(len(a), -1) if n == "C.weight" else a.contiguous(memory_format=LAST)
    return w


def unlay(w):
    readout = w["C.weight"]
    return w if DENSE else w | {"C.weight": readout.reshape(10, 4, 4, -1).permute(0, 3, 1, 2)}


def logits(w, h):
    for layer in ("C.h1", "C.h2") if DENSE else ("C.h1", "C.h2", "C.h3"):
        kernel, bias = w[f"{layer}.weight"], w[f"{layer}.bias"]
        if DENSE:
            h = F.relu(F.linear(h, kernel, bias), inplace=args.mode == "eager")
        else:
            h = F.leaky_relu(F.conv2d(h, kernel, bias, 2, 1), 0.2, inplace=args.mode == "eager")
    if not DENSE:
        h = h.permute(0, 2, 3, 1).reshape(len(h), -1)
    return F.linear(h, w["C.weight"], w["C.bias"])


def loss_of(w, d):
    return F.cross_entropy(logits(w, d["image"]), d["label"])


class Eager(twin.Eager):
    def __init__(self, weights):
        super().__init__(weights, classify.GROUPS, {"C": classify.ADAM})

    def cycle(self, d):
        loss = loss_of(self.w, d)
        self.step("C", self.slopes(loss, *self.w))
        return (loss,)


def whole(state, d):
    grads, loss = torch.func.grad_and_value(loss_of)(state["C"]["w"], d)
    twin.adam(state["C"], grads, **classify.ADAM)
    return (loss,)


def inputs():
    draws = classify.Draws(args)

    def draw():
        d = twin.tensors(draws.next())
        form = {} if DENSE else {"memory_format": LAST}
        image = d["image"].to(torch.float32, **form)
        return d | {"image": image.div_(255) if DENSE else image.mul_(2 / 255).sub_(1)}

    return draw


if __name__ == "__main__":
    train = Eager if args.mode == "eager" else lambda weights: twin.Compiled(weights, classify.GROUPS, whole)
    initial, case = lambda: classify.initial(classify.SHAPES[args.model]), lambda: classify.case(args.model)
    twin.drive(args, train, initial, inputs, case, lay, unlay)
