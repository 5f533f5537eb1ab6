#!/usr/bin/env python3
"""What expressions mean (docs/language.md, sections 3 to 5), one by one: the command's value against one worked out here.

language.py HYPNO

Each case is an expression and its value, a number or a list. All are probes of one model, run by the interpreter in double.
The batch is the six samples below; `x` is a vector of three, `y` a number, `k` a label, `m` a matrix [2, 3] shared by all.
Standard library only.
"""
import json
import math
import os
import struct
import subprocess
import sys
import tempfile

os.environ["HYPNO_CACHE"] = "off"  # never the user's
HYPNO = os.path.abspath(sys.argv[1])
X = [[1, 2, 3], [4, -5, 6], [0, 0, 0], [2, 2, 1], [-1, 3, 5], [0.5, 0.25, -2]]
Y = [1, -2, 0, 3, 0.5, 4]
K = [0, 2, 1, 1, 0, 2]
M = [[1, 2, 3], [4, 5, 6]]
FLAT = [v for row in X for v in row]
COLUMNS = [list(c) for c in zip(*X)]


def mean(v):
    return sum(v) / len(v)


def var(v, less=0):
    return sum((a - mean(v)) ** 2 for a in v) / (len(v) - less)


def norm(v):
    return math.sqrt(sum(a * a for a in v))


def lse(v):
    return math.log(sum(math.exp(a) for a in v))


def softmax(v):
    return [math.exp(a - lse(v)) for a in v]


def normal(v, m, s):
    return -0.5 * ((v - m) / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi)


NODES = """
      x:        rows.x
      y:        rows.y
      k:        rows.k
      m:        reshape(concat(arange(6)), [2, 3]) + 1
      w:        concat(fill(1, 1), fill(2, 2))
      nine:     reshape(arange(9), [1, 3, 3])
      n:        0.5 * ~normal(y, 2) + 3
      nx:       ~normal(x, 1 + x * x)
      la:       2 - ~laplace(y, 2)
      un:       1 - 2 * ~uniform(y, y + 3)
      ex:       3 * ~exponential(exp(y)) - 1
      be:       ~bernoulli(sigmoid(y))
      ca:       ~categorical(x)
      one:      ~normal(1, 1, shape=[2, 3], per=batch)
      half:     ~bernoulli(0.5, like=x)
      flat:     flatten(2 * reshape(~normal(x, 1), [1, 3]) + 1)
      tall:     reshape(2 * ~exponential(2, like=x), [3, 1]) + 1
      ui:       ~uniform_int(1, 6, like=y)
      lin:      line(x, m)
      t.a, t.b: (x, 2 * y)
      p, q:     two(y)
"""
FUNCTIONS = """
  line(v, m):  matmul(m, v) * 2 + 1
  two(v):      v + 1, v + 2
  twice(f, v): f(f(v))
  part(v):
    in:     v * v
    return: in + 1
  default(a, b=a + 1, c=2): a * 100 + b * 10 + c
"""

# section 3: grammar and precedence, numbers, run-time scalars
CASES = {
    "2 ** 3 ** 2": 512,
    "-2 ** 2": -4,
    "2 ** -1": 0.5,
    "2 * -3": -6,
    "1 - 2 - 3": -4,
    "8 / 4 / 2": 1,
    "7 / 2": 3.5,
    "1 + 2 * 3": 7,
    "(1 + 2) * 3": 9,
    "where(not 1 < 2 or 3 < 4, 1, 0)": 1,
    "where(1 < 2 and 2 < 1 or true, 1, 0)": 1,
    "where(1 == 1.0 and 1 != 2 and 2 >= 2 and 2 > 1, 1, 0)": 1,
    "1e-3 + 1.5E+1": 15.001,
    "pi": math.pi,
    "where(1 < inf, 1, 0)": 1,
    "-inf < 0": 1,
    "epoch + cycle + step": 0,
    "0 * sum(y) + batch_size": 6,
    "0 * sum(y) + where(training, 1, 0)": 1,
    "epoch": 0,
    "$lr": 0.5,
    "$lr + $list[1]": 10.5,
    "c2": 20,
    # section 4: shapes, kinds, reductions
    "sum(x)": sum(FLAT),
    "mean(x)": mean(FLAT),
    "var(x)": var(FLAT),
    "var(x, unbiased=true)": var(FLAT, 1),
    "std(x)": math.sqrt(var(FLAT)),
    "std(x, unbiased=true, over=[units, batch])": math.sqrt(var(FLAT, 1)),
    "max(x)": 6,
    "min(x)": -5,
    "mean(norm(x))": mean([norm(r) for r in X]),
    "norm(x, over=[units, batch])": norm(FLAT),
    # settings and counters, scalars of the host, as anything else
    "sum(fill($lr, 3))": 1.5,
    "sum(concat(fill($lr, 1), roll(fill(epoch, 2), 1)))": 0.5,
    "mean((epoch, $lr), over=member)": [0, 0.5],
    "max($lr)": 0.5,
    "logsumexp(reshape($lr, [1]))": 0.5,
    "step + cycle": 0,
    "sum(argmax(x))": sum(r.index(max(r)) for r in X),
    "argmax(x, over=batch)": [c.index(max(c)) for c in COLUMNS],
    "mean(logsumexp(x))": mean([lse(r) for r in X]),
    "logsumexp(x, over=batch)": [lse(c) for c in COLUMNS],
    "mean(x, over=batch)": [mean(c) for c in COLUMNS],
    "mean(matmul(as_axis(x), transpose(as_axis(x))))": mean([sum(a * b for a, b in zip(v, w)) for v in X for w in X]),
    "var(outer(as_axis(y), as_axis(y)), unbiased=true)": var([v * w for v in Y for w in Y], 1),
    "var(x, over=batch, unbiased=true)": [var(c, 1) for c in COLUMNS],
    "mean(x, keep=0)": [mean(c) for c in COLUMNS],
    "sum(m, over=0)": [5, 7, 9],
    "sum(m, over=1)": [6, 15],
    "sum(m, over=-1)": [6, 15],
    "sum(m, over=[0, 1])": 21,
    "sum(m, over=units)": 21,
    "sum(m, keep=0)": [6, 15],
    "max(m, over=0)": [4, 5, 6],
    "mean(sum(x, over=units))": mean([sum(r) for r in X]),
    "mean(max(x, over=0))": mean([max(r) for r in X]),
    "sum(m + w)": 21 + 10,
    "sum(x + y)": sum(FLAT) + 3 * sum(Y),
    "sum((1, 2, 3))": 6,
    "sum((x, y))": sum(FLAT) + sum(Y),
    "mean((x, y))": mean(FLAT + Y),
    "sum((x, 2 * y), over=member)": [sum(FLAT), 2 * sum(Y)],
    "mean((x, x * x), over=member)": [mean(FLAT), mean([v * v for v in FLAT])],
    "mean(norm((x, y)))": mean([norm(r + [v]) for r, v in zip(X, Y)]),
    "sum(norm(x, over=member), over=batch)": [sum(norm(r) for r in X)],
    "max((x, y))": 6,
    "sum(logsumexp((x, x)))": sum(lse(r + r) for r in X),
    "size(flatten((x, m, 1 * y)))": 10,
    "sum(flatten((x, y))[3])": sum(Y),
    "size(x) + dim(m) + dim(m, axis=0) + depth(m)": 3 + 3 + 2 + 2,
    "shape(m)": [2, 3],
    "m[1, 2]": 6,
    "m[-1, -1]": 6,
    "m[1]": [4, 5, 6],
    "sum(m[:, 1:])": 16,
    "w[0:2]": [1, 2],
    "(4, 5, 6)[1]": 5,
    "sum((4, 5, 6)[1:])": 11,
    "sum((x, y) * 2 + (x, y))": 3 * (sum(FLAT) + sum(Y)),
    "sum(where(y > 0, y, 0))": sum(v for v in Y if v > 0),
    "where(true, 1, nothing_of_that_name)": 1,
    "depth(concat(as_axis(x), as_axis(x)))": 12,
    "mean(as_samples(concat(as_axis(x), 3 * as_axis(x))))": 2 * mean(FLAT),
    "sum(as_samples(x))": sum(FLAT),
    "depth(as_axis(as_samples(x)))": 18,
    "mean(2 * as_samples(x) + 1)": 2 * mean(FLAT) + 1,
    "sum([y, 2 * y])": 3 * sum(Y),
    "mean([x, 2 * x, 3], over=[batch, 1])": [mean(FLAT), 2 * mean(FLAT), 3],
    "[w, 2 * w][1]": [2, 4, 4],
    "sum(k == 2)": 2,
    "sum(k / 2)": 3,
    "sum(floor(y) + 0)": sum(math.floor(v) for v in Y),
    # draws and densities
    "mean(log_prob(normal(y, 2), 1))": mean([normal(1, v, 2) for v in Y]),
    "mean(log_prob(n, 1))": mean([normal(1, 0.5 * v + 3, 1) for v in Y]),
    "mean(log_prob(nx, 1))": mean([sum(normal(1, v, 1 + v * v) for v in r) for r in X]),
    "mean(mean_of(n))": mean([0.5 * v + 3 for v in Y]),
    "mean(std_of(n))": 1,
    "mean(kl(n, normal(0, 1)))": mean([(1 + (0.5 * v + 3) ** 2) / 2 - 0.5 for v in Y]),
    "mean(entropy(nx))": mean([sum(math.log(1 + v * v) + 0.5 * math.log(2 * math.pi * math.e) for v in r) for r in X]),
    "mean(log_prob(la, 1))": mean([-abs(1 - (2 - v)) / 2 - math.log(4) for v in Y]),
    "mean(entropy(la))": 1 + math.log(4),
    "mean(std_of(la))": 2 * math.sqrt(2),
    "mean(kl(laplace(y, 2), laplace(1, 3)))": mean([math.log(3 / 2) + (2 * math.exp(-abs(v - 1) / 2) + abs(v - 1)) / 3 - 1 for v in Y]),
    "mean(log_prob(un, un))": -math.log(6),
    "mean(entropy(un))": math.log(6),
    "mean(mean_of(un))": mean([1 - 2 * (v + 1.5) for v in Y]),
    "mean(std_of(un))": 6 / math.sqrt(12),
    "kl(uniform(1, 2), uniform(0, 4))": math.log(4),
    "mean(log_prob(ex, 2))": mean([v - math.exp(v) - math.log(3) for v in Y]),
    "mean(mean_of(ex))": mean([3 / math.exp(v) - 1 for v in Y]),
    "mean(std_of(ex))": mean([3 / math.exp(v) for v in Y]),
    "mean(entropy(ex))": mean([1 - v + math.log(3) for v in Y]),
    "kl(exponential(2), exponential(3))": math.log(2 / 3) + 3 / 2 - 1,
    "kl(one, normal(0, 1))": 3,
    "mean(kl(half, bernoulli(0.25)))": 3 * (0.5 * math.log(2) + 0.5 * math.log(0.5 / 0.75)),
    "kl(uniform(1, 2), uniform(0, 4)) + 0 * sum(y)": math.log(4),
    "mean(log_prob(flat, 1))": mean([sum(normal(1, 2 * v + 1, 2) for v in r) for r in X]),
    "mean(log_prob(tall, 5))": mean([sum(math.log(2) - 2 * 2 - math.log(2) for v in r) for r in X]),
    "mean(log_prob(be, 1))": mean([-math.log(1 + math.exp(-v)) for v in Y]),
    "mean(entropy(bernoulli(sigmoid(y))))": mean([-sum(p * math.log(p) for p in (1 / (1 + math.exp(-v)), 1 / (1 + math.exp(v)))) for v in Y]),
    "kl(bernoulli(0.25), bernoulli(0.5))": 0.25 * math.log(0.5) + 0.75 * math.log(1.5),
    "mean(mean_of(be))": mean([1 / (1 + math.exp(-v)) for v in Y]),
    "mean(log_prob(ca, k))": mean([r[i] - lse(r) for r, i in zip(X, K)]),
    "mean(entropy(ca))": mean([-sum(p * math.log(p) for p in softmax(r)) for r in X]),
    "mean(mean_of(ca))": mean([sum(i * p for i, p in enumerate(softmax(r))) for r in X]),
    "mean(std_of(ca))": mean([math.sqrt(sum(i * i * p for i, p in enumerate(softmax(r))) - sum(i * p for i, p in enumerate(softmax(r))) ** 2) for r in X]),
    "mean(kl(categorical(x), categorical(0 * x)))": mean([sum(p * math.log(p * 3) for p in softmax(r)) for r in X]),
    "mean(log_prob(ui, ui))": -math.log(6),
    "mean(entropy(ui))": math.log(6),
    "mean(mean_of(ui))": 3.5,
    "mean(std_of(ui))": math.sqrt(35 / 12),
    # derivatives
    "sum(grad(y ** 3, y))": sum(3 * v * v for v in Y),
    "sum(grad(relu(y), y))": 4,
    "sum(grad(grad(y ** 3, y), y))": sum(6 * v for v in Y),
    "sum(grad(stop(y) * y, y))": sum(Y),
    "sum(grad(scale_grad(y, -1) * 3, y))": -18,
    "sum(grad(sum(x * x), (x, y)))": 2 * sum(FLAT),
    "sum(grad(maximum(y, y), y))": 6,
    "sum(grad(max(x), x))": 1,
    "sum(grad(abs(y), y))": 3,
    "sum(grad(clip(y, 0, 3), y))": 4,
    "sum(grad(norm(x), x))": sum(sum(r) / norm(r) for r in X if norm(r)),
    "sum(lin.T(w[0:2]))": 6 * 2 * (sum(M[0]) + 2 * sum(M[1])),
    "sum(lin.T(lin) * x)": sum(2 * sum(a * b for a, b in zip(r, v)) * (2 * sum(a * b for a, b in zip(r, v)) + 1) for v in X for r in M),
    "sum(grad(lin.T(lin), x))": sum(4 * sum(r[i] * r[j] for r in M) for i in range(3) for j in range(3)) * 6,
    # section 5: functions
    "default(1)": 122,
    "default(1, c=5)": 125,
    "default(1, 7)": 172,
    "sum(twice(default(_, 0, 1), 0))": 101,
    "twice(default(_, _, 1)(_, 2), 0)": 2121,
    "shape(mean(deep(x), over=batch))": [2],
    "map(part, (2, 3))[1]": 10,
    "part(3).in": 9,
    "sum(p + q)": 2 * sum(Y) + 18,
    "sum(t.a) + sum(t.b)": sum(FLAT) + 2 * sum(Y),
    "chain(part, 1, 3)": 26,
    # primitives
    "round(2.5) + round(3.5)": 6,
    "mod(-1, 3)": 2,
    "sign(-2) + sign(0)": -1,
    "elu(-1)": math.exp(-1) - 1,
    "softplus(0)": math.log(2),
    "leaky_relu(-2, 0.1)": -0.2,
    "erf(0.5)": math.erf(0.5),
    "acos(0.5)": math.acos(0.5),
    "matmul(m, w)": [11, 26],
    "matmul(m, transpose(m))[0]": [14, 32],
    "outer(w, w)[1]": [2, 4, 4],
    "dot(w, w)": 9,
    "correlation(w, 2 * w + 1)": 1,
    "unit_norm(w)": [1 / 3, 2 / 3, 2 / 3],
    "reshape(m, [3, 2])[1]": [3, 4],
    "transpose(m)[0]": [1, 4],
    "concat(w, w)": [1, 2, 2, 1, 2, 2],
    "split(concat(w, w), 2)[1]": [1, 2, 2],
    "roll(w, 1)": [2, 1, 2],
    # probabilities of exactly 0 and 1
    "bce(sigmoid(1000 * y), 1)": (100 + math.log(2)) / 6,
    "bce(sigmoid(1000 * y), 0)": (400 + math.log(2)) / 6,
    "sum(grad(bce(sigmoid(1000 * y), 1), y))": -500 / 6,
    "sum(grad(bce(sigmoid(1000 * y), 0), y))": 500 / 6,
    # a tile of 2, which data decide
    "tiles(m, floor(max(y) - 2))": [1, 1, 2, 1, 1, 2],
    "expand(w, 2)[1]": [1, 2, 2],
    "along(w[0:2], m, 0)": [1, 2],
    "sum(along(w[0:2], m, 0) * m)": 36,
    "where(log_prob(uniform_int(1, 6), 7) < -1e30, 1, 0)": 1,
    "fill(3, 2)": [3, 3],
    "arange(3)": [0, 1, 2],
    "linspace(0, 1, 3)": [0, 0.5, 1],
    "eye(2)[1]": [0, 1],
    "sum(onehot(k, 3), over=batch)": [2, 2, 2],
    "[1, 2 * $lr, c2]": [1, 1, 20],
    "sum(identity(y))": sum(Y),
    "minimum(1, 2) + maximum(1, 2)": 3,
    # images: turned to the left about the middle, moved right and down; whole steps are exact
    "resample(nine, angle=pi / 2)[0, 0]": [2, 5, 8],
    "resample(nine, angle=pi / 2)[0, 2]": [0, 3, 6],
    "turn_shift(nine, 180, 0, 0)[0, 0]": [8, 7, 6],
    "resample(nine, dx=1)[0, 1]": [0, 3, 4],
    "resample(nine, dy=-2)[0, 0]": [6, 7, 8],
    "turn_shift(nine, 90, 0, 1)[0, 1]": [2, 5, 8],
    "resample(nine, dx=0.25)[0, 2]": [4.5, 6.75, 7.75],
    "sum(resample(nine, angle=k * pi / 2)[0, 0, 0], over=batch)": 2 * 0 + 2 * 2 + 2 * 8,
}


def npy(path, shape, kind, values):
    head = f"{{'descr': '<{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (63 - (10 + len(head)) % 64) + "\n"
    body = struct.pack(f"<{len(values)}{'f' if kind == 'f4' else 'i'}", *values)
    with open(path, "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + body)


def quoted(expr):
    return "'" + expr.replace("'", "''") + "'"


def run(cases):
    model = ("hypnograph: 1\nname: cases\nsettings: {lr: 0.5, list: [9, 10]}\nconstants: {c1: 10, c2: 2 * c1}\n"
             "data:\n  rows: {source: npy, batch: 6, order: file}\nfunctions:" + FUNCTIONS +
             "networks: {unit: 'linear(_, 1)', deep: 'chain(linear(_, 2), _, 3)'}\noptimizers: {unit: sgd(lr=0)}\n"
             "phases:\n  p:\n    nodes:" + NODES + "      loss:     mean(unit(y + fill(0, 1)))\n    update: {unit: loss}\n"
             "schedule: {epochs: 1, cycle: [p]}\nprobes:\n")
    for i, expr in enumerate(cases):
        model += f"  c{i}: {{value: {quoted(expr)}, nodes: {{}}}}\n"
    with open("m.yaml", "w", encoding="utf-8") as f:
        f.write(model)
    got = subprocess.run([HYPNO, "train", "m.yaml", "--data", ".", "--out", "r", "--quiet", "--summary", "json", "--backend",
                          "interp64"], capture_output=True, text=True, timeout=300)
    if got.returncode:
        return None, got.stderr
    return json.loads(got.stdout.rstrip().split("\n")[-1])["values"], got.stderr


def same(got, want):
    if isinstance(want, list):
        return isinstance(got, list) and len(got) == len(want) and all(map(same, got, want))
    return isinstance(got, (int, float)) and abs(got - want) <= 1e-6 * max(1, abs(want))


def main():
    folder = tempfile.TemporaryDirectory()
    os.chdir(folder.name)
    npy("x.npy", (6, 3), "f4", FLAT)
    npy("y.npy", (6,), "f4", Y)
    npy("k.npy", (6,), "i4", K)
    cases = CASES
    values, err = run(cases)
    if values is None:
        print(err)
        return 1
    failed = 0
    for i, (expr, want) in enumerate(cases.items()):
        if not same(values.get(f"c{i}"), want):
            print(f"{expr}: {values.get(f'c{i}')}, want {want}")
            failed += 1
    print(f"{len(cases) - failed} of {len(cases)} expressions are right")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
