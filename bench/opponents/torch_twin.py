"""What the twins in PyTorch share: threads and types, the two ways to train, and how they meet the bench.

A model has groups of weights, each with Adam's settings. Eager trains them with PyTorch's fused Adam; Compiled holds all that
changes in tensors that one compiled graph works on in place, Adam included.
"""

import numpy as np
import torch

from common import EPS, arguments, check, serve

MODES = ["eager", "compile"]


def begin(models, about):
    """The command line; threads and the default type are set by it."""
    args = arguments(models, MODES, about)
    torch.set_num_threads(args.threads)
    torch.set_num_interop_threads(1)
    torch.set_default_dtype(torch.float64 if args.check else torch.float32)
    torch.manual_seed(0)
    return args


def tensors(arrays):
    """Numbers become the default type; bytes and integers stay what they are."""
    kept = lambda a: torch.tensor(a) if np.asarray(a).dtype.kind in "iu" else torch.tensor(a, dtype=torch.get_default_dtype())
    return {n: kept(a) for n, a in arrays.items()}


def split(w, groups):
    """group -> the weights whose names begin with one of its prefixes."""
    return {g: {n: a for n, a in w.items() if n.startswith(prefixes)} for g, prefixes in groups.items()}


class Eager:
    """`settings`: group -> Adam's lr, betas, weight_decay."""

    def __init__(self, weights, groups, settings):
        self.w = {n: a.requires_grad_() for n, a in weights.items()}
        self.group = split(self.w, groups)
        self.zero = {}
        self.adam = {g: torch.optim.Adam(list(w.values()), eps=EPS, fused=True, **settings[g]) for g, w in self.group.items()}

    def slopes(self, loss, *names):
        """Gradients of the named weights."""
        return dict(zip(names, torch.autograd.grad(loss, [self.w[n] for n in names])))

    def step(self, group, grads):
        """One step of the group; weights without a gradient take it with zeros. Fused Adam walks raw memory: a gradient
        that lies differently than its parameter must be copied first.
        """
        for n, p in self.group[group].items():
            g = grads[n] if n in grads else self.zero.setdefault(n, torch.zeros_like(p))
            p.grad = g if g.stride() == p.stride() else torch.empty_like(p).copy_(g)
        self.adam[group].step()


class Compiled:
    """`whole(state, d)` trains one cycle and returns its losses; state: group -> weights, moments, count."""

    def __init__(self, weights, groups, whole):
        self.w = weights
        fresh = lambda w: {n: torch.zeros_like(a) for n, a in w.items()}
        self.state = {
            g: {"w": w, "m": fresh(w), "v": fresh(w), "count": torch.zeros((), dtype=torch.float64)}
            for g, w in split(weights, groups).items()
        }
        self.step = torch.compile(whole, fullgraph=True)

    def cycle(self, d):
        return self.step(self.state, d)


def adam(group, grads, lr, betas, weight_decay=0.0):
    """In place on a group of Compiled's; `count` is a tensor, so that the graph is compiled once."""
    (b1, b2), count = betas, group["count"]
    count += 1
    c1, c2 = 1 - b1**count, torch.sqrt(1 - b2**count)
    for n, w in group["w"].items():
        m, v, g = group["m"][n], group["v"][n], grads.get(n)
        if g is not None and weight_decay:
            g = g + weight_decay * w
        first = b1 * m if g is None else b1 * m + (1 - b1) * g
        second = b2 * v if g is None else b2 * v + (1 - b2) * g * g
        m.copy_(first)
        v.copy_(second)
        w.copy_(w - lr / c1 * first / (torch.sqrt(second) / c2 + EPS))


def drive(args, train, initial, inputs, case, lay=tensors, unlay=lambda w: w):
    """Checks, or serves the bench. `train(weights)`: a trainer, whose `cycle(d)` gives losses and whose `w` are its
    weights; `initial()`: weights; `inputs()`: a function that gives a cycle's inputs; `case()`: see common.check; `lay` and
    `unlay` turn named arrays into the trainer's tensors and back.
    """
    if args.check:
        held = {}

        def start(weights):
            held["trainer"] = train(lay(weights))

        def step(d):
            losses = held["trainer"].cycle(tensors(d))
            return [v.item() for v in losses], {n: a.detach().numpy() for n, a in unlay(held["trainer"].w).items()}

        check(case(), start, step)
    trainer, draw = train(lay(initial())), inputs()

    def cycle():
        return [v.item() for v in trainer.cycle(draw())]

    serve(args, {"torch": torch.__version__, "numpy": np.__version__}, cycle)
