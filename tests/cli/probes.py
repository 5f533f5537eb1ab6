#!/usr/bin/env python3
"""Probes, from outside: a model of two phases with every probe of a latent space, and readouts worked out here.

Cases as in harness.py.
"""
import json
import math
import os
import sys

from harness import SOURCE, equal, has, hypno, main, read, summary, write

PAD = os.path.join(SOURCE, "graphs/papers/dreaming/pad.yaml")

MODEL = """hypnograph: 1
name: latents
settings: {batch: 50, R: 1, scale: 1}
data:
  all:    {source: digits, batch: $batch, scale: [-1, 1]}
  photos: {split: train, take: [0, 800]}
  unseen: {split: test, take: [0, 300]}
networks:
  E(x):
    h:      relu(linear(x, 48))
    z, d:   linear(h, 16), sigmoid(linear(h, 1))
    return: z, d
  G(z): tanh(linear(relu(linear(z, 48)), 784))
state:
  Z: [16]
phases:
  wake:
    nodes:
      x:      flatten(photos.image)
      z, d:   E(x)
      xr:     G(z)
      error:  mse(xr, x)
      loss:   error + 0.1 * bce(d, 1) + 0.3 * mean(z * z)
    update:
      - E, G: loss
    next: {Z: z}
  rem:
    nodes:
      xd:     G(Z + noise(Z, 0.5))
      fooled: bce(E(scale_grad(xd, -1)).d, 0)
    update:
      - E, G: fooled
optimizers:
  E, G: adam(lr=1e-3)
schedule:
  epochs: 4
  cycle: [wake, {rem: 1, when: $R > 0}]
"""
PROBES = """probes:
  losses:   {value: '[wake.error, 0.5 * wake.loss, rem.fooled]', every: 8 cycles}
  clean:    {metric: linear_readout, of: wake.z, labels: photos.label, from: unseen, every: [0, 4]}
  occluded:
    metric:  linear_readout
    nodes:   {dark: 'flatten(occlude(photos.image, share, 4))'}
    of:      wake.z
    test_of: E(dark).z
    labels:  photos.label
    from:    unseen
    over:    {share: [0, 0.3, 1]}
    every:   [0, 4]
  geometry: {metric: latent_geometry, of: wake.z, against: 'E(flatten(occlude(photos.image, 0.3, 4))).z', labels: photos.label, from: unseen}
  axes:     {metric: pca, of: wake.z, labels: photos.label, from: unseen, samples: 10, every: end}
  frechet:
    metric:   frechet
    of:       [photos.image, G(wake.z), photos.image * $scale]
    against:  photos.image
    features: classifier
    samples:  200
    settings: {scale: 0.9}
    every:    [4]
  rebuilt:  {image: wake.xr, beside: wake.x, from: unseen, grid: [2, 4], shape: [28, 28], every: 2 epochs}
  dreams:   {image: rem.xd, grid: [2, 2], shape: [28, 28], every: [1, 3]}
"""


def values(run):
    """name -> {(cycle, epoch): value} of metrics.csv"""
    out = {}
    for line in read(f"{run}/metrics.csv").splitlines()[1:]:
        cycle, epoch, rest = line.split(",", 2)
        name, value = rest.rsplit(",", 1)
        out.setdefault(name, {})[int(cycle), int(epoch)] = float(value)
    return out


def pictures(run):
    return {f: read(f"{run}/{d}/{f}", "rb") for d in ("images", "plots") for f in sorted(os.listdir(f"{run}/{d}"))}


def close(a, b, within=1e-6):
    assert abs(a - b) <= within, f"{a} is not {b}"


def test_every_probe_of_latents():
    write("m.yaml", MODEL + PROBES)
    write("bare.yaml", MODEL)
    s = summary("m.yaml", "--out", "one", "--threads", "1", "--seed", "2")
    hypno("train", "m.yaml", "--out", "two", "--threads", "2", "--seed", "2", "--quiet")
    hypno("train", "bare.yaml", "--out", "bare", "--threads", "1", "--seed", "2", "--quiet")
    # the same to the bit with two threads, pictures too; and nothing of it touches the run
    equal(read("two/metrics.csv"), read("one/metrics.csv"))
    assert pictures("one") == pictures("two")
    weights = [read(f"{r}/checkpoint.safetensors", "rb") for r in ("one", "bare")]
    n = [8 + int.from_bytes(w[:8], "little") for w in weights]
    size = 4 * (784 * 48 + 48 + 48 * 16 + 16 + 48 + 1 + 16 * 48 + 48 + 48 * 784 + 784)
    equal(weights[0][n[0]:n[0] + size], weights[1][n[1]:n[1] + size])
    # when they are due
    v = values("one")
    equal(sorted(v["clean"]), [(0, 0), (64, 4)])
    equal(sorted(v["geometry"]), [(16, 1), (32, 2), (48, 3), (64, 4)])
    equal([c for c, _ in sorted(v["losses[2]"])], list(range(8, 65, 8)))
    equal([f for f in sorted(pictures("one")) if f.endswith(".png")],
          ["dreams-epoch0001.png", "dreams-epoch0003.png", "rebuilt-epoch0002.png", "rebuilt-epoch0004.png"])
    # losses of several phases are those of the cycle just run
    for (cycle, epoch), x in v["rem.fooled"].items():
        if (cycle, epoch) in v["losses[2]"]:
            close(v["losses[2]"][cycle, epoch], x, 0)
    close(v["losses[1]"][64, 3], 0.5 * s["values"]["wake.loss"])
    # the curve begins at the clean readout, and its area is the trapezoids'
    for at in ((0, 0), (64, 4)):
        a, b, c = (v[f"occluded[{k}]"][at] for k in range(3))
        close(a, v["clean"][at], 0)
        close(v["occluded.area"][at], 0.3 * (a + b) / 2 + 0.7 * (b + c) / 2)
        assert a > b > c and c < 0.2, (a, b, c)
    has(read("one/plots/losses.svg"), ">wake.error<", ">0.5 * wake.loss<", ">rem.fooled<")
    has(read("one/plots/frechet.svg"), ">photos.image<", ">G(wake.z)<", ">photos.image * $scale<")
    has(read("one/plots/phase-losses.svg"), ">rem.fooled<")
    has(read("one/plots/occluded.svg"), ">share<", ">epoch 0<", ">epoch 4<")
    equal(s["values"]["occluded"], [v[f"occluded[{k}]"][64, 4] for k in range(3)])
    for name in ("geometry", "geometry.against", "geometry.squared", "geometry.against_squared"):
        assert 0 < v[name][64, 4] < 1.1, name
    close(sum(s["values"]["axes.axes"]), s["values"]["axes"])
    same, rebuilt, darker = s["values"]["frechet"]
    close(same, 0)
    assert rebuilt > darker > 0.01, s["values"]["frechet"]
    # the same probe, asked of the checkpoint
    again = json.loads(hypno("eval", "one", "--probe", "occluded", "--summary", "json")[0])["values"]
    equal(again["occluded"], s["values"]["occluded"])


def test_pad_is_scored_both_ways():
    """The readout on all 10,000 images and on whole batches of 64 alone; distances on unseen and on training images."""
    few = ["data.all.source=shapes", "data.photos.take=[0, 640]", "constants.width=2", "constants.latents=8", "probes.occluded=none",
           "probes.frechet=none", "probes.axes.every=end",
           "probes.other={metric: pca, of: wake.z, labels: 9 - photos.label, from: unseen, every: end}"]
    s = summary(PAD, "--out", "r", "--epochs", "1", *(word for k in few for word in ("--set", k)))["values"]
    every, whole = s["readout"] * 10000, s["readout_code"] * 9984
    close(every, round(every))
    close(whole, round(whole))
    assert 0 <= round(every) - round(whole) <= 16, (every, whole)  # the 16 images that are left over
    for name in ("squared", "against_squared"):
        a, b = s[f"geometry.{name}"], s[f"geometry_code.{name}"]
        assert 0 < a < 1.5 and 0 < b < 1.5 and a != b, (name, a, b)
    # classes are called as the source calls them, where the labels are its own
    has(read("r/plots/axes-epoch0001.svg"), ">circle<", ">ring<", ">half<", ">crescent<")
    has(read("r/plots/other-epoch0001.svg"), ">class 0<", ">class 3<")


def test_what_a_source_drops():
    """70 rows in batches of 32, the last 6 in class 1: they count where nothing is dropped, and where the schedule reads the source."""
    write("t.csv", "a,label\n" + "".join(f"{i},{int(i >= 64)}\n" for i in range(70)))
    write("m.yaml", """hypnograph: 1
data:
  all:   {source: csv, file: t.csv, batch: 32}
  rows:  {last: drop}
  whole: {}
  cut:   {last: drop}
  few:   {last: drop, take: [0, 7]}
phases:
  wake: {nodes: {a: rows.a, guess: 0 * rows.label}}
schedule: {epochs: 0, cycle: [wake]}
probes:
  all: {every: [0], of: wake.guess, labels: rows.label}
  mean_whole:   {value: mean(wake.a), from: whole}
  mean_cut:     {value: mean(wake.a), from: cut}
  mean_few:     {value: mean(wake.a), from: few}
  right_whole:  {metric: accuracy, from: whole}
  right_cut:    {metric: accuracy, from: cut}
  right_rows:   {metric: accuracy}
""")
    v = summary("m.yaml", "--data", ".")["values"]
    for name, want in (("mean_whole", 34.5), ("mean_cut", 31.5), ("mean_few", 3), ("right_whole", 64 / 70), ("right_cut", 1), ("right_rows", 64 / 70)):
        close(v[name], want)


def test_a_phase_that_is_left_out():
    write("m.yaml", MODEL + "probes:\n  losses: {value: '[wake.error, rem.fooled]', every: 1 cycles}\n")
    s = summary("m.yaml", "--out", "r", "--set", "R=0", "--cycles", "2")
    assert s["values"]["losses"][0] > 0 and s["values"]["losses"][1] is None, s["values"]
    assert math.isnan(values("r")["losses[1]"][1, 0])


def readout(rows, labels, classes, lr, epochs):
    """Full-batch gradient descent of a softmax regression from 0; the share of right answers."""
    w = [[0.0] * (len(rows[0]) + 1) for _ in range(classes)]

    def scores(x):
        return [sum(a * b for a, b in zip(k, x + [1.0])) for k in w]

    for _ in range(epochs):
        grad = [[0.0] * len(k) for k in w]
        for x, y in zip(rows, labels):
            s = scores(x)
            e = [math.exp(v - max(s)) for v in s]
            for k in range(classes):
                d = (e[k] / sum(e) - (k == y)) / len(rows)
                for i, v in enumerate(x + [1.0]):
                    grad[k][i] += d * v
        for k in range(classes):
            for i in range(len(w[k])):
                w[k][i] -= lr * grad[k][i]
    return sum(max(range(classes), key=lambda k: scores(x)[k]) == y for x, y in zip(rows, labels)) / len(rows)


def test_readout_by_hand():
    """Classes of different sizes, so that the share of right answers depends on how long and how fast it learns."""
    rows, labels, state = [], [], 1
    for i in range(60):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        k = 0 if i < 36 else 1 if i < 50 else 2
        rows.append([round(k * 0.7 + (state >> 16) % 100 / 50, 2), round(1.5 - k * 0.4 + (state >> 8) % 100 / 40, 2)])
        labels.append(k)
    write("t.csv", "a,b,label\n" + "".join(f"{a},{b},{k}\n" for (a, b), k in zip(rows, labels)))
    model = """hypnograph: 1
data: {rows: {source: csv, file: t.csv, batch: 60}}
phases:
  wake: {nodes: {x: 'flatten((rows.a, rows.b))'}}
schedule: {epochs: 0, cycle: [wake]}
probes:
"""
    cases = [(lr, epochs) for lr in (0.01, 0.2, 1) for epochs in (1, 5, 20, 200)]
    for i, (lr, epochs) in enumerate(cases):
        model += (f"  p{i}: {{metric: linear_readout, of: wake.x, labels: rows.label, fit: sgd(lr={lr}), "
                  f"fit_epochs: {epochs}, batch: 60}}\n")
    model += "  rounds: {metric: linear_readout, of: wake.x, labels: rows.label, over: {k: [1, -1]}, test_of: k * wake.x}\n"
    model += "  usual:  {metric: linear_readout, of: wake.x, labels: rows.label}\n"
    got = summary(write("m.yaml", model), "--data", ".")["values"]
    want = [readout(rows, labels, 3, lr, epochs) for lr, epochs in cases]
    assert len(set(want)) > 3, want
    for i in range(len(cases)):
        close(got[f"p{i}"], want[i])
    equal(got["rounds"][0], got["usual"])
    assert got["rounds"][1] != got["usual"]


if __name__ == "__main__":
    sys.exit(main(globals()))
