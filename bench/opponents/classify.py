"""What the twins of the two classifiers share: `mlp`, 784-512-512-10 on MNIST, and `encoder`, PAD's encoder with ten
outputs in place of its latents, on CIFAR-10; both with cross-entropy and Adam (bench/models).
"""

import numpy as np

from common import Batches, cifar, fan_in, mnist

MODELS = ["mlp", "encoder"]
ADAM = dict(lr=1e-3, betas=(0.9, 0.999))
GROUPS = {"C": ("C",)}
SHAPES = {  # layers by hypnograph path
    "mlp": {"C.h1": (512, 784), "C.h2": (512, 512), "C": (10, 512)},
    "encoder": {"C.h1": (64, 3, 4, 4), "C.h2": (128, 64, 4, 4), "C.h3": (256, 128, 4, 4), "C": (10, 256, 4, 4)},
}
NARROW = {
    "mlp": {"C.h1": (9, 784), "C.h2": (8, 9), "C": (10, 8)},
    "encoder": {"C.h1": (4, 3, 4, 4), "C.h2": (5, 4, 4, 4), "C.h3": (6, 5, 4, 4), "C": (10, 6, 4, 4)},
}
IMAGE = {"mlp": (784,), "encoder": (3, 32, 32)}


def initial(shapes, seed=1):
    rng, w = np.random.default_rng(seed), {}
    for path, shape in shapes.items():
        fan = int(np.prod(shape[1:]))
        w[f"{path}.weight"], w[f"{path}.bias"] = fan_in(rng, shape, fan), fan_in(rng, shape[0], fan)
    return w


class Draws:
    """A cycle's images, in bytes, and labels."""

    def __init__(self, args):
        self.images, self.labels = (mnist if args.model == "mlp" else cifar)(args.data)
        self.batches = Batches(len(self.images), args.batch)

    def next(self):
        rows, _ = self.batches.next()
        return {"image": self.images[rows], "label": self.labels[rows]}


def case(model):
    """(initial weights, cycles of (inputs, losses, weights after)) of a narrow model, computed plainly in double."""
    import plain

    rng, weights = np.random.default_rng(4), initial(NARROW[model], seed=3)
    draw = lambda: {"image": rng.uniform(-1, 1, (7, *IMAGE[model])), "label": rng.integers(0, 10, 7)}
    return weights, plain.classes(weights, [draw() for _ in range(3)], getattr(plain, model), ADAM)
