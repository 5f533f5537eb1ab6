#!/usr/bin/env python3
"""Runs, from outside: what they write, resume and tell, and how they end; cases as in harness.py."""
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time

from harness import HYPNO, MODEL, SOURCE, equal, has, hypno, line_of, main, read, summary, targets, write


def test_phases_left_out_have_no_probes():
    """`when` keeps sleep from two cycles of three: its probes are logged once, and no picture is drawn of it."""
    model = MODEL.replace("cycle: [wake]", "cycle: [wake, {sleep: 1, when: 'mod(step, 3) == 1'}]")
    write("tiny.yaml", model.replace("every: end", "every: 2 cycles") + "  each: {value: mean(sleep.x), every: 1 cycles}\n")
    hypno("train", "tiny.yaml", "--out", "run", "--cycles", "4")
    values = [line.split(",") for line in read("run/metrics.csv").splitlines()]
    equal([v[0] for v in values if v[2] == "each"], ["2"])
    equal(os.listdir("run/images"), ["dreams-cycle00000002.png"])


def test_phases_train_the_same():
    write("m.yaml", MODEL)
    write("again.yaml", hypno("show", "m.yaml", "--stage", "phases")[0])
    for name in ("m", "again"):
        hypno("train", name + ".yaml", "--out", name, "--threads", "1", "--quiet")
    equal(read("m/metrics.csv"), read("again/metrics.csv"))


def test_summary():
    write("m.yaml", MODEL)
    s = summary("m.yaml", "--out", "r", "--threads", "2")
    for key in ("cycles", "seconds_per_cycle", "first_cycle_seconds", "compile_seconds", "kernels", "compiled_kernels",
                "arena_bytes", "peak_rss_bytes", "values"):
        assert key in s, key
    equal(s["cycles"], 12)
    equal(sorted(s["values"]), ["miss", "wake.error"])
    for f in ("metrics.csv", "metrics.jsonl", "model.yaml", "run.json", "checkpoint.safetensors"):
        assert os.path.getsize(os.path.join("r", f)), f
    equal(read("r/metrics.csv").split("\n")[0], "cycle,epoch,name,value")
    s = summary("m.yaml", "--out", "none", "--epochs", "0")
    equal((s["cycles"], sorted(s["values"])), (0, ["miss"]))
    s = summary("m.yaml", "--out", "two", "--cycles", "2")
    equal((s["cycles"], sorted(s["values"])), (2, ["wake.error"]))


def test_threads_and_backends_agree():
    write("m.yaml", MODEL)
    hypno("train", "m.yaml", "--out", "r1", "--threads", "1", "--quiet")
    for name, more in (("r3", ["--threads", "3"]), ("ri", ["--threads", "1", "--backend", "interp"])):
        hypno("train", "m.yaml", "--out", name, "--quiet", *more)
        equal(read(f"{name}/metrics.csv"), read("r1/metrics.csv"))


IMAGES = """hypnograph: 1
name: images
data:
  seen: {source: digits, split: train, take: [0, 300], batch: 50}
networks:
  sort(x):
    a:      leaky_relu(conv(x, 8, 4, 2, 1), 0.2)
    b:      max_pool(relu(conv(a, 8, 3, pad=1)), 3, stride=2, pad=1)
    return: linear(flatten(b), 10)
  code: conv_gaussian(_, 6, 4, 4)
  draw(z):
    a:      relu(conv_transpose(upsample(z), 8, 4, 2, 1))
    return: sigmoid(conv(a, 1, 3, pad=1))
phases:
  wake:
    nodes:
      kinds: sort(seen.image)
      wrong: cross_entropy(kinds, seen.label)
      error: mse(draw(code(seen.image)), seen.image)
    update:
      - sort:       wrong
      - code, draw: error
optimizers:
  sort, code, draw: adam(lr=0.003)
schedule: {epochs: 12, cycle: [wake]}
probes:
  right: {metric: accuracy, of: wake.kinds, labels: seen.label, from: seen}
"""


def test_images():
    """A convolutional classifier and an autoencoder learn; threads and back ends agree to the bit."""
    write("m.yaml", IMAGES)
    s = summary("m.yaml", "--out", "r1", "--threads", "1")
    assert s["values"]["right"] > 0.9, s["values"]
    assert s["values"]["wake.error"] < 0.05, s["values"]
    for name, more in (("two", []), ("three", ["--threads", "3"]), ("slow", ["--backend", "interp"])):
        hypno("train", "m.yaml", "--out", name, "--cycles", "1", "--quiet", *more)
        assert read(f"{name}/checkpoint.safetensors", "rb") == read("two/checkpoint.safetensors", "rb"), name


def test_runs_are_kept():
    write("m.yaml", MODEL)
    hypno("train", "m.yaml", "--epochs", "1", "--quiet")
    assert os.path.isdir("runs/tiny")
    before = read("runs/tiny/checkpoint.safetensors", "rb")
    _, err = hypno("train", "m.yaml", "--quiet", status=1)
    has(err, "runs/tiny holds a run already", "--resume runs/tiny")
    assert read("runs/tiny/checkpoint.safetensors", "rb") == before
    hypno("train", "--resume", "runs/tiny", "--quiet")
    hypno("train", "m.yaml", "--out", "whole", "--quiet")
    equal(read("runs/tiny/metrics.csv"), read("whole/metrics.csv"))


def test_init():
    write("m.yaml", MODEL)
    hypno("train", "m.yaml", "--out", "a", "--quiet")
    write("other.yaml", MODEL.replace("  g: ", "  unused: linear(_, 2)\n  g: ").replace("g(f(x)) - x", "g(f(x)) - x + 0 * sum(unused(x))"))
    _, err = hypno("train", "other.yaml", "--init", "a/checkpoint.safetensors", "--out", "b", "--epochs", "0")
    has(err, "unused")
    _, err = hypno("train", "m.yaml", "--init", "absent", "--out", "c", status=1)
    has(err, "absent")


def test_eval_and_dream():
    write("m.yaml", MODEL)
    s = summary("m.yaml", "--out", "r")
    before = {f: os.stat(os.path.join(d, f)).st_mtime_ns for d, _, fs in os.walk("r") for f in fs}
    got = json.loads(hypno("eval", "r", "--summary", "json")[0])
    equal(got["values"]["miss"], s["values"]["miss"])
    has(hypno("eval", "r", "--probe", "miss")[0], "miss")
    hypno("dream", "r", "-n", "4", "-o", "d.png", "--seed", "3")
    equal(read("d.png", "rb")[:4], b"\x89PNG")
    hypno("dream", "r", "-n", "4", "-o", "d.npy")
    equal(read("d.npy", "rb")[:6], b"\x93NUMPY")
    equal({f: os.stat(os.path.join(d, f)).st_mtime_ns for d, _, fs in os.walk("r") for f in fs}, before)
    _, err = hypno("eval", "m.yaml", status=1)
    has(err, "is no run folder")
    hypno("dream", "r", "-n", "0", status=2)
    has(hypno("dream", "r", "-o", "d.jpg", status=2)[1], "expected FILE.png or FILE.npy")
    has(hypno("dream", "r", "--node", "sleap.x", status=1)[1], "--node:1:1: error[E0203]")


STAGES = """hypnograph: 1
settings: {lr: 0.05, weights: [1, 2]}
data:
  seen: {source: digits, take: [0, 64], batch: 16}
networks:
  f: linear(_, 4)
  g: linear(_, 784)
phases:
  wake:
    nodes:
      x: flatten(seen.image)
      z: f(x) + ~normal(shape=[4])
      error: $weights[0] * mean((g(z) - x)**2)
      size: $weights[1] * mean(z * z)
      both: mean(abs(g(z) - x))
    update:
      - f: size
      - g: error
      - f, g: both
  late:
    nodes:
      other: mean((g(f(flatten(seen.image))))**2)
    update:
      - g: other
optimizers:
  f, g: adam(lr=$lr)
probes:
  miss: {value: wake.error}
schedule:
%s"""


def tensors(run):
    data = read(f"{run}/checkpoint.safetensors", "rb")
    size = struct.unpack("<Q", data[:8])[0]
    head = json.loads(data[8:8 + size])
    return {k: data[8 + size + v["data_offsets"][0]:8 + size + v["data_offsets"][1]]
            for k, v in head.items() if k != "__metadata__"}


def losses(run):
    return [line for line in read(f"{run}/metrics.csv").split("\n") if ",wake" in line]


def test_stages_freeze():
    """A frozen group keeps weights, moments and counters; the rest is what a model without its update does."""
    free = "  - {epochs: 1, cycle: [wake]}\n"
    frozen = free + "  - {epochs: 2, cycle: [wake], freeze: [f]}\n"
    write("frozen.yaml", STAGES % frozen)
    write("free.yaml", STAGES % free)
    without = (STAGES % free.replace("epochs: 1", "epochs: 3")).replace("      - f: size\n", "").replace("- f, g: both", "- g: both")
    write("without.yaml", without.replace("f, g: adam", "g: adam"))
    hypno("train", "free.yaml", "--out", "free", "--quiet")
    hypno("train", "frozen.yaml", "--out", "frozen", "--quiet")
    hypno("train", "frozen.yaml", "--out", "slow", "--backend", "interp", "--quiet")
    equal(tensors("frozen"), tensors("slow"))
    before, after = tensors("free"), tensors("frozen")
    moved = {k for k in before if before[k] != after[k]}
    assert not [k for k in moved if k.startswith(("f.", "optimizer/f."))], moved
    assert {"g.weight", "optimizer/g.weight/m", "optimizer/g.weight/t"} <= moved, moved
    # frozen from the start: the same bits as a model that never had the update
    write("never.yaml", STAGES % "  - {epochs: 3, cycle: [wake], freeze: [f]}\n")
    for name in ("never", "without"):
        hypno("train", f"{name}.yaml", "--out", name, "--quiet")
    same = [k for k in tensors("without") if not k.startswith(("optimizer/f.", "cursor/metrics"))]
    assert "g.weight" in same and "optimizer/g.weight/v" in same
    for k in same:
        assert tensors("never")[k] == tensors("without")[k], k
    late = [",wake.error,", ",wake.both,", ",miss,"]
    pick = lambda run: [x for x in read(f"{run}/metrics.csv").split("\n") if any(n in x for n in late)]
    equal(pick("never"), pick("without"))
    has(read("never/metrics.csv"), ",wake.size,")
    # everything frozen: nothing moves, the losses are there
    write("all.yaml", STAGES % (free + "  - {epochs: 2, cycle: [wake], freeze: [f, g]}\n"))
    hypno("train", "all.yaml", "--out", "all", "--quiet")
    own = [k for k in before if k.startswith(("f.", "g.", "optimizer/"))]
    assert len(own) > 10
    equal([tensors("all")[k] for k in own], [before[k] for k in own])
    has(read("all/metrics.csv"), "12,2,wake.error,", "12,2,wake.size,")
    # resumed within the frozen stage
    hypno("train", "frozen.yaml", "--cycles", "6", "--out", "cut", "--quiet")
    hypno("train", "--resume", "cut", "--quiet")
    equal(read("cut/metrics.csv"), read("frozen/metrics.csv"))
    equal(tensors("cut"), tensors("frozen"))
    _, err = hypno("check", write("bad.yaml", STAGES % "  - {epochs: 1, cycle: [wake], freeze: [h]}\n"), status=1)
    has(err, "E0505", "`h` names no weights")


def test_rare_losses_outlive_a_resume():
    """A loss that is not of every cycle stands in the same line of metrics, wherever the run was cut."""
    rare = "epochs: 2\n  cycle: [wake, {late: 1, when: cycle == 1}]\n"
    write("rare.yaml", (STAGES % rare).replace("schedule:\n", "schedule:\n  "))
    hypno("train", "rare.yaml", "--out", "whole", "--quiet")
    has(read("whole/metrics.csv"), "4,0,late.other,", "8,1,late.other,")
    for cut in range(1, 8):
        hypno("train", "rare.yaml", "--cycles", str(cut), "--out", f"cut{cut}", "--quiet")
        hypno("train", "--resume", f"cut{cut}", "--quiet")
        for name in ("metrics.csv", "metrics.jsonl"):
            equal(read(f"cut{cut}/{name}"), read(f"whole/{name}"))


DREAMS = [
    "--set", "data.all.source=npy", "--set", "data.photos.split=none", "--set", "data.unseen=none", "--set", "data.scored=none",
    "--set", "probes=none", "--set", "batch=8", "--set", "constants.width=4", "--set", "constants.latents=8", "--cycles", "3", "--backend", "interp64", "--quiet",
]


def test_contrast_without_negatives_is_nrem():
    """One view of a memory drawn to the memory, without latent noise: PAD's replay, whatever perturbs the dream."""
    folder = os.path.join(SOURCE, "graphs/papers/dreaming")
    data = ["--data", os.path.join(SOURCE, "tests/reference/cifar-six/data")]
    hypno("train", f"{folder}/pad.yaml", *DREAMS, *data, "--set", "phases.nrem.nodes.zr=E(0.5 * xn).z", "--out", "nrem")
    like = ["--condition", "like_nrem", "--set", "functions.perturbed(x)=0.5 * x"]
    hypno("train", f"{folder}/contrastive.yaml", *DREAMS, *data, *like, "--out", "contrast")
    nrem, contrast = tensors("nrem"), tensors("contrast")
    same = [k for k in nrem if k.startswith(("E.", "G.", "Z", "optimizer/"))]
    assert len(same) == 4 * 18 + 2, same
    equal([k for k in same if nrem[k] != contrast[k]], [])
    hypno("train", f"{folder}/contrastive.yaml", *DREAMS, *data, "--condition", "no_push", "--out", "pulled")
    assert tensors("pulled")["E.z.weight"] != nrem["E.z.weight"]
    hypno("train", f"{folder}/pad.yaml", *DREAMS, *data, "--out", "pad")
    hypno("train", f"{folder}/contrastive.yaml", *DREAMS, *data, "--condition", "pad", "--out", "cycle")
    pad, cycle = tensors("pad"), tensors("cycle")
    equal([k for k in same if pad[k] != cycle[k]], [])


def test_a_flip_is_its_own_inverse():
    """contrastive: all dreams mirrored twice, or none once, train what dreams as they are do; all mirrored once do not."""
    folder = os.path.join(SOURCE, "graphs/papers/dreaming")
    data = ["--data", os.path.join(SOURCE, "tests/reference/cifar-six/data")]
    weights = {}
    for name, how, share in (("plain", "x", 1), ("never", "flipped(x)", 0), ("twice", "flipped(flipped(x))", 1), ("once", "flipped(x)", 1)):
        hypno("train", f"{folder}/contrastive.yaml", *DREAMS, *data, "--set", f"functions.perturbed(x)={how}", "--set", f"mirrored={share}", "--out", name)
        weights[name] = tensors(name)["E.h1.weight"]
    equal([weights[name] == weights["plain"] for name in ("never", "twice", "once")], [True, True, False])


def test_list_settings_for_a_time():
    stages = "  - {epochs: 1, cycle: [wake]}\n  - {epochs: 1, cycle: [wake], settings: {weights: '[3, 0.5 * 4]'}}\n"
    write("for_a_time.yaml", STAGES % stages)
    write("set.yaml", STAGES % "  - {epochs: 2, cycle: [wake]}\n")
    hypno("train", "for_a_time.yaml", "--out", "a", "--quiet")
    hypno("train", "set.yaml", "--out", "b", "--epochs", "1", "--quiet")
    hypno("train", "set.yaml", "--resume", "b", "--set", "weights=[3, 2]", "--quiet")
    equal(losses("a"), losses("b"))
    wrong = STAGES % stages.replace("0.5 * 4", "1, 2")
    _, err = hypno("check", write("wrong.yaml", wrong), status=1)
    has(err, "E0305", "expected a list of 2 numbers")
    probe = "  miss: {value: wake.error, from: seen, settings: {weights: '[0, 1]'}}"
    write("probe.yaml", (STAGES % "  - {epochs: 1, cycle: [wake]}\n").replace("  miss: {value: wake.error}", probe))
    equal(json.loads(hypno("train", "probe.yaml", "--summary", "json", "--quiet")[0])["values"]["miss"], 0)


def test_losses_are_told_once():
    """A phase that did not run since the last line has none in the next."""
    write("two.yaml", STAGES % "  - {epochs: 1, cycle: [wake]}\n  - {epochs: 2, cycle: [late]}\n")
    hypno("train", "two.yaml", "--out", "two", "--quiet")
    lines = [x.split(",")[:3] for x in read("two/metrics.csv").split("\n") if ",wake." in x or ",late." in x]
    equal(lines, [["4", "0", "wake.size"], ["4", "0", "wake.error"], ["4", "0", "wake.both"],
                  ["8", "1", "late.other"],
                  ["10", "2", "late.other"], ["12", "2", "late.other"]])


def test_another_model():
    write("m.yaml", MODEL)
    hypno("train", "m.yaml", "--out", "r", "--quiet", "--epochs", "1")
    write("r/model.yaml", read("r/model.yaml").replace("linear(_, 4)", "linear(_, 5)").replace("shape=[4]", "shape=[5]"))
    for verb in (("train", "--resume", "r"), ("eval", "r"), ("dream", "r")):
        has(hypno(*verb, status=1)[1], "error[R0954]", "`f.weight` is F32[4, 784] in the file and F32[5, 784] in the model",
            "`f.bias` is F32[4] in the file and F32[5]", "`g.weight` is F32[784, 4] in the file")


def test_signal():
    write("m.yaml", MODEL.replace("epochs: 3", "epochs: 1000000"))
    run = subprocess.Popen([HYPNO, "train", "m.yaml", "--out", "r", "--threads", "1"], stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
    for _ in range(600):
        if os.path.exists("r/checkpoint.safetensors"):
            break
        time.sleep(0.1)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=120)
    equal(run.returncode, 128 + signal.SIGINT)
    has(err, "--resume r")
    hypno("train", "--resume", "r", "--epochs", "1", "--quiet")


def test_not_finite():
    write("m.yaml", MODEL)
    _, err = hypno("train", "m.yaml", "--set", "lr=1e30", "--out", "r", status=1)
    has(err, "error[R0951]", "wake.error")
    assert os.path.isdir("r/fault")


def test_unused_sources_are_not_opened():
    """No file of it has to be there, and it takes no memory."""
    write("m.yaml", MODEL.replace("data:\n", "data:\n  spare: {source: cifar10, split: test}\n"))
    text = hypno("train", "m.yaml", "--out", "r", "--cycles", "1", "--data", ".")[1]
    has(text, "source `spare` is never used")


def test_index_out_of_range():
    write("m.yaml", MODEL.replace("mean((g(f(x)) - x)**2)", "mean((g(f(x)) - x)**2) + mean(arange(3)[seen.label])"))
    _, err = hypno("train", "m.yaml", "--out", "r", status=1)
    has(err, "error[R0952]", "wake/error (m.yaml:13)", "of 3")


FAULTY = """hypnograph: 1
settings: {lr: 0.1, gain: 1}
data:
  seen: {source: digits, split: train, take: [0, 60], batch: 16}
networks:
  f: linear(_, 4)
  g: linear(_, 784)
phases:
  wake:
    nodes:
      x:     flatten(seen.image)
      code:  f(x)
      fine:  0.001 * mean(maximum(log(x), -10))
      bad:   0
      out:   g(code) + mean(tanh(bad))
      error: mean((out - x)**2) + fine
    update:
      - f: $gain * error
      - g: error + 0 * mean(late)
optimizers:
  f, g: sgd(lr=$lr)
schedule: {epochs: 3, cycle: [wake]}
"""


# What makes a value that is not finite, and where the message has to lead.
LINEAR = line_of("graphs/std/layers.yaml", "return: matmul(x, transpose(")
FAULTS = [
    ("bad:   log(x) * 0", [], "`wake/bad` (m.yaml:14), phase wake, step 1"),
    ("bad:   0 * sum(x / (x - x), over=units)", [], "`wake/bad` (m.yaml:14), phase wake, step 1"),
    ("bad:   exp(1000 * x) - exp(1000 * x)", [], "`wake/bad` (m.yaml:14), phase wake, step 1"),
    ("bad:   0", ["--set", "lr=1e18"], "`wake/error` (m.yaml:16), phase wake, step 2"),
    ("bad:   0", ["--set", "lr=3e38"], f"`f` (std/layers.yaml:{LINEAR}, from m.yaml:6), phase wake, step 2"),
    ("bad:   0", ["--set", "lr=3e38", "--set", "gain=1e6"], "update of `f.weight` (m.yaml:21), phase wake, step 1"),
    ("bad:   sqrt(0 * code)", [], "gradient of `wake/bad` (m.yaml:14), phase wake, step 1"),
]


def test_faults_are_named():
    """The node of the first bad value, whatever is fused, with the compiler's code and without, on any threads."""
    for bad, args, where in FAULTS:
        write("m.yaml", FAULTY.replace("bad:   0", bad).replace(" + 0 * mean(late)", ""))
        for more in [], ["--threads", "3"], ["--no-fuse"], ["--backend", "interp"]:
            _, err = hypno("train", "m.yaml", "--out", "r", *args, *more, status=1)
            has(err, "error[R0951]", "the first such value is in " + where)
            equal(json.loads(read("r/fault/report.json"))["first"], where)
            subprocess.run(["rm", "-r", "r"], check=True)


def test_faults_of_later_steps():
    """What only the second update needs is of step 2; the kept infinity of `fine` is nobody's fault."""
    late = "fine:  0.001 * mean(maximum(log(x), -10))\n      late:  log(x) * 0"
    write("m.yaml", FAULTY.replace("fine:  0.001 * mean(maximum(log(x), -10))", late))
    _, err = hypno("train", "m.yaml", "--out", "r", status=1)
    has(err, "the first such value is in `wake/late` (m.yaml:14), phase wake, step 2")


def test_bad_weights_stop_at_once():
    """The losses of cycle 6 are finite, the weights it leaves are not: no cycle runs on them."""
    write("m.yaml", MODEL.replace("sgd(lr=$lr)", "sgd(lr=where(step < 5, $lr, 3e38 * 1000))"))
    for more in [], ["--threads", "3"], ["--no-fuse"], ["--backend", "interp"]:
        _, err = hypno("train", "m.yaml", "--out", "r", *more, status=1)
        has(err, "is not finite after cycle 6 (epoch 1)", "the first such value is in update of `", "(m.yaml:20), phase wake")
        subprocess.run(["rm", "-r", "r"], check=True)


def test_faults_without_room():
    """Where --memory leaves no room to look at every node, the kernel's nodes are named."""
    write("m.yaml", FAULTY.replace("bad:   0", "bad:   log(x) * 0").replace(" + 0 * mean(late)", ""))
    plan, _ = hypno("show", "m.yaml", "--stage", "plan")
    need = sum(float(line.split()[1]) for line in plan.split("\n")[1:5])
    _, err = hypno("train", "m.yaml", "--out", "r", "--memory", str(int((need + 0.1) * 1024)) + "K", status=1)
    has(err, "`wake/bad` (m.yaml:14)")
    assert err.count("` (") > 1, err


def test_faults_in_data():
    """A bad sample is the data's fault, not that of the node that first reads it."""
    values = [1.0] * 64
    values[37] = float("nan")
    head = "{'descr': '<f4', 'fortran_order': False, 'shape': (16, 4), }"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open("x.npy", "wb") as f:
        f.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + struct.pack("<64f", *values))
    write("m.yaml", FAULTY.replace("source: digits, split: train, take: [0, 60]", "source: npy").replace("flatten(seen.image)", "seen.x")
          .replace("784", "4").replace(" + 0 * mean(late)", "").replace("fine:  0.001 * mean(maximum(log(x), -10))", "fine: 0"))
    _, err = hypno("train", "m.yaml", "--data", ".", "--out", "r", status=1)
    has(err, "the first such value is in data `seen.x`, phase wake")


def test_unwritable():
    write("m.yaml", MODEL)
    write("file", "")
    _, err = hypno("train", "m.yaml", "--out", "file/r", status=1)
    has(err, "error[R0953]")


WAVES = MODEL.replace("take: [0, 64], batch: 16", "take: [0, 512], batch: 256").replace("  f: linear(_, 4)\n", """  f(x):
    a: sin(linear(x, 256))
    b: sin(linear(a, 256))
    c: sin(linear(b, 256))
    return: linear(c, 4)
""")


def test_scarce_memory():
    """What gradients read is recomputed where it has to be, with the same bits; else: what is large, and what fits."""
    write("m.yaml", WAVES)
    least = re.search(r"needs ([0-9.]+) MiB", hypno("check", "m.yaml", "--memory", "1M", status=1)[1])[1]
    limit = f"{int((float(least) + 0.06) * 1024)}K"
    log, _ = hypno("explain", "m.yaml", "--json")
    assert '"verdict":"recomputed"' not in log
    log, _ = hypno("explain", "m.yaml", "--json", "--memory", limit)
    has(log, '"remat":[{', '"verdict":"recomputed"')
    has(hypno("explain", "m.yaml", "--memory", limit)[0], " recomputed ")
    many, few = summary("m.yaml", "--out", "many"), summary("m.yaml", "--out", "few", "--memory", limit)
    assert few["arena_bytes"] < many["arena_bytes"]
    assert few["values"] == many["values"]
    assert read("few/checkpoint.safetensors", "rb") == read("many/checkpoint.safetensors", "rb")
    _, err = hypno("check", "m.yaml", "--memory", f"{int(float(least) * 1024 - 200)}K", status=1)
    has(err, "at the peak of `wake`", "m.yaml:", "a batch of 128 fits")


def test_targets():
    """The kind of processor changes no bit; where none fits, the interpreter runs and a line says so."""
    write("m.yaml", MODEL)
    want = None
    for target in ["", *targets()]:
        out, err = hypno("train", "m.yaml", "--out", "r" + target, "--threads", "1", "--summary", "json",
                         env={"HYPNO_TARGET": target})
        values = json.loads(out.splitlines()[-1])["values"]
        want = want or values
        equal(values, want)
        if target == "generic" and "llvm" in hypno("doctor")[0].split("built without")[0]:
            has(err, "W0709", "interpreter")
            _, err = hypno("train", "m.yaml", "--backend", "llvm", status=1, env={"HYPNO_TARGET": target})
            has(err, "no back end `llvm` for this machine")
    _, err = hypno("train", "m.yaml", "--out", "r", status=1, env={"HYPNO_TARGET": "vax"})
    has(err, "no target `vax`")


def test_fault():
    """A crash ends with 3, a folder, and one line that names it."""
    write("m.yaml", MODEL.replace("epochs: 3", "epochs: 1000000"))
    run = subprocess.Popen([HYPNO, "train", "m.yaml", "--out", "r", "--threads", "1"], stderr=subprocess.PIPE, text=True,
                           stdout=subprocess.DEVNULL)
    for _ in range(600):
        if os.path.exists("r/metrics.csv"):
            break
        time.sleep(0.1)
    run.send_signal(signal.SIGSEGV)
    _, err = run.communicate(timeout=120)
    if "AddressSanitizer" in err or "ThreadSanitizer" in err:
        return
    equal(run.returncode, 3)
    has(err, "internal fault", "hypno-fault-")
    folder = [f for f in os.listdir(".") if f.startswith("hypno-fault-")][0]
    has(read(os.path.join(folder, "model.yaml")), "name:", "tiny")
    has(read(os.path.join(folder, "command")), "train m.yaml")


if __name__ == "__main__":
    sys.exit(main(globals()))
