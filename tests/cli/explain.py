#!/usr/bin/env python3
"""What the compiler tells of itself, from outside: explain, memory over time, faults of ours and reducing them.

Cases as in harness.py.
"""
import json
import os
import re
import signal
import subprocess
import sys
import time
from xml.etree import ElementTree

from harness import HYPNO, MODEL, SOURCE, equal, has, hypno, line_of, main, read, targets, write

# Every fate that a value can have.
FATES = """hypnograph: 1
name: fates
settings: {lr: 0.1}
data:
  seen: {source: digits, split: train, take: [0, 64], batch: 16}
networks:
  f(x):
    h:      relu(linear(x, 8))
    return: linear(h, 4)
  g: linear(_, 784)
phases:
  wake:
    nodes:
      x:     flatten(seen.image)
      z:     f(x)
      again: f(x)
      twice: z + again
      large: exp(x) + 1
      idle:  exp(z)
      rate:  2 * $lr
      error: mean((g(twice) - x)**2) + rate * mean(large)
    update:
      - f, g: error
  sleep:
    nodes:
      x: g(~normal(shape=[4]))
optimizers:
  f, g: sgd(lr=$lr)
schedule: {epochs: 3, cycle: [wake]}
probes:
  miss:   {value: wake.error, from: seen}
  dreams: {image: sleep.x, shape: [28, 28], grid: [2, 2], every: end}
"""


# A window without overlap reads each element once, another one 25 times.
WINDOWS = """hypnograph: 1
name: windows
data:
  seen: {source: digits, split: train, take: [0, 64], batch: 16}
networks:
  patches(x):
    weights: {gate: {shape: [1, 28, 28], init: 'uniform(0, 1)', fixed: true}}
    lit:    x * gate
    return: conv(lit, 8, 4, 4)
  edges(x):
    lit:    exp(x)
    return: conv(lit, 8, 5, pad=2)
phases:
  wake:
    nodes:
      x:     seen.image
      error: mean(patches(x)**2) + mean(edges(x)**2)
    update:
      - patches, edges: error
optimizers:
  patches, edges: sgd(lr=0.1)
schedule: {epochs: 1, cycle: [wake]}
"""


def shipped():
    """Every model that comes with hypnograph."""
    for top in ("graphs/papers", "examples"):
        for folder, _, files in os.walk(os.path.join(SOURCE, top)):
            yield from (os.path.join(folder, f) for f in sorted(files) if f.endswith(".yaml"))


def test_explain_a_model():
    write("m.yaml", FATES)
    out, _ = hypno("explain", "m.yaml")
    has(out, "fates  for ", "lines without a file are of m.yaml", "wake  ", "fusing saved ", "most time", "refused: ", "reasons\n",
        "what would change it: ", "gradient of g :10 + update of g.weight :28")
    assert "\033" not in out, "colour without a terminal"
    assert "probe/miss" not in out.replace("NODE `", ""), "probes are for --all"
    everything, _ = hypno("explain", "m.yaml", "--all")
    has(everything, "probe/miss  ", "holds   f.h :8", "inlined wake.large :18")
    hypno("explain", "m.yaml", "--phase", "probe/miss")
    has(hypno("explain", "m.yaml", "--phase", "nope", status=1)[1], "no phase `nope`")
    for args in ([], ["--all"], ["wake.twice"], ["g"], ["wake"], ["f.h"]):
        for path in ("m.yaml", *shipped()):
            if len(args) and not args[0].startswith("-") and path != "m.yaml":
                continue
            for line in hypno("explain", path, *args)[0].split("\n"):
                assert len(line) <= 100 or path in line or len(line.split()) < 7, f"{len(line)} columns: {line}"  # a name is not broken


def test_explain_a_node():
    write("m.yaml", FATES)
    cases = {
        "wake.x": ["wake.x :14", "is `seen.image` itself: no kernel", "read by f.h :8 in k"],
        "x": ["wake.x :14"],
        "wake.z": ["equal to ", "wake.again :16", "computed once", "wake: computed in k", "not stored: it stays in registers",
                   "+ into wake.twice :17: epilogue fused, saves "],
        "wake.twice": ["of the arena, launches ", "kept for gradients: ", "refused: anchor (at most ", "a kernel walks one space"],
        "wake.large": ["inlined: all who read it compute it"],
        "wake.idle": ["removed: nothing that runs reads it"],
        "wake.rate": ["a number that the host computes"],
        "f.h": ["f.h :8  f32[8] per sample, evaluation 1 of 2", "evaluation 2 of 2\n    equal to f.h :8", "parts to ask for:\n    f.h.weight f.h.bias"],
        "f": ["f.h f.h.weight"],
        "g.weight": ["f32[784, 4] shared, 12.2 KiB at ", "of the state", "update of g.weight :28 in k", "updated by k", "in place"],
        "wake": ["wake  ", "kernels\n", "holds   "],
        "sleep.x": ["read by the runtime"],
        "probe.miss": ["probe/miss  "],
    }
    for name, parts in cases.items():
        has(hypno("explain", "m.yaml", name)[0], *parts)
    _, err = hypno("explain", "m.yaml", "wake.twise", status=1)
    has(err, "no node, weight or phase `wake.twise`", "did you mean `wake/twice`?")
    hypno("explain", "m.yaml", "wake", "--json", status=2)
    write("E0104", FATES)  # a file of that name is a model
    has(hypno("explain", "E0104")[0], "lines without a file are of E0104")


def test_maps_before_windows():
    """A convolution and its gradient compute what they read where that is cheaper; and say so where it is not."""
    write("m.yaml", WINDOWS)
    has(hypno("explain", "m.yaml", "patches.lit")[0], "inlined: all who read it compute it, and nobody stores it",
        "read by patches :9 in k", "gradient of patches :9 in k", ": inline fused, saves ")
    has(hypno("explain", "m.yaml", "edges.lit")[0], "computed in k", "into edges :12: inline refused: cost", "through a window")
    has(hypno("explain", "m.yaml", "--all")[0], "inlined patches.lit :8", "holds   edges.lit :11", "cost            -  edges.lit :11 with edges :12")


def test_packings():
    """Who packs a weight, for whom; and that its kernels are said to do nothing else."""
    pad = next(path for path in shipped() if path.endswith("pad.yaml"))
    out, _ = hypno("explain", pad, "E.h2.weight")
    packer, reader = re.search(r"  wake:\n +read by E\.h2 :\d+ in k\d+.*\n +packed by (k\d+), launch 0, for (k\d+), launch 1\n", out).groups()
    has(out, f"read by E.h2 :18 in {reader}")
    equal(out.count("packed by k"), 2 * 3)  # for it and for its input's gradient, in each phase
    has(hypno("explain", pad, "--all")[0], f"{packer}, launch 0: packing of E.h2 for {reader}, launch 1\n")


def test_a_kernel_names_its_nodes_once():
    """With their lines, each once: in the plan those of the library, in `explain` the model's own."""
    write("m.yaml", FATES)
    linear, conv, norm = (line_of("graphs/std/layers.yaml", text) for text in ("return: matmul", "return: convolve(", "  pixel_norm("))
    out, _ = hypno("show", "m.yaml", "--stage", "plan", "--phase", "wake")
    has(out, f"  f.h (std/layers.yaml:{linear}, m.yaml:8)\n", f"  g (std/layers.yaml:{linear}) + wake/error (m.yaml:21) + gradient of wake/error",
        f" + gradient of g (std/layers.yaml:{linear}) + update of g.bias (m.yaml:28)\n")
    for path in ("m.yaml", *shipped()):
        plan, _ = hypno("show", path, "--stage", "plan")
        if "cifar-six" in path:
            has(plan, f" + D.z5.f1 (std/layers.yaml:{conv}, :{norm})\n")
        for row in re.findall(r"^    k\d+ +units [\d+]+  (.*)$", plan, re.M):
            names = re.findall(r"(?:^| \+ )(.+?) \(([^()]*)\)", row)
            equal(" + ".join(f"{name} ({lines})" for name, lines in names), row)
            equal(len({name for name, _ in names}), len(names))
            for _, lines in names:
                file, seen = "", []
                for line in lines.split(", "):
                    file = line.split(":")[0] or file
                    seen.append((file, line.split(":")[1]))
                equal(len(set(seen)), len(seen))


def test_explain_as_json():
    """The keys of the table, no others; sums that agree; reasons of the table."""
    write("m.yaml", FATES)
    keys = {}
    for m in re.finditer(r"^EXPLAIN_KEY\((\w+), (\w+), (\w+),", read(os.path.join(SOURCE, "compiler/driver/explain.def")), re.M):
        keys.setdefault(m[1], {})[m[2]] = m[3]
    reasons = set(re.findall(r'^FUSE_WHY\(\w+, "(\w+)"', read(os.path.join(SOURCE, "compiler/ir/fuse.def")), re.M))
    types = {"string": str, "number": (int, float, type(None)), "bool": bool, "list": list, "object": dict, "node": dict}

    def check(kind, value):
        equal(sorted(value), sorted(keys[kind]))
        for key, t in keys[kind].items():
            assert isinstance(value[key], types[t]), f"{kind}.{key} is {value[key]!r}, no {t}"
            if t == "node":
                check("node", value[key])

    d = json.loads(hypno("explain", "m.yaml", "--json", "--all")[0])
    check("document", d)
    check("memory", d["memory"])
    equal((d["version"], d["model"], d["file"], d["batch"]), (1, "fates", "m.yaml", 16))
    names = [p["name"] for p in d["phases"]]
    equal([p["name"] for p in d["phases"] if p["scheduled"]], ["wake"])
    assert "probe/miss" in names and "init" in names, names
    for p in d["phases"]:
        check("phase", p)
        assert abs(sum(k["seconds"] for k in p["kernels"]) - p["seconds"]) <= 1e-9 * p["seconds"]
        saved = sum(x["before"] - x["after"] for x in p["decisions"] if x["verdict"] == "fused")
        assert abs(saved - p["saved_seconds"]) <= 1e-9 + 1e-6 * saved
        for kind, of in (("kernel", "kernels"), ("decision", "decisions"), ("remat", "remat")):
            for value in p[of]:
                check(kind, value)
        for k in p["kernels"]:
            for n in k["nodes"]:
                check("node", n)
        for x in p["decisions"]:
            assert x["why"] in reasons and (x["why"] == "fused") == (x["verdict"] == "fused"), x
            assert (x["before"] is None) == (x["saved_bytes"] is None), x
            assert x["before"] is None or x["most"] is None, x
    has(str(names), "dream/sleep.x")
    equal([p["name"] for p in json.loads(hypno("explain", "m.yaml", "--json")[0])["phases"]], ["wake"])


def test_borders_are_told():
    """A convolution that leaves out what lies outside of its image says so; a window without a border has nothing to say."""
    write("m.yaml", WINDOWS.replace("conv(lit, 8, 5, pad=2)", "conv(conv(lit, 32, 4, 2, pad=1), 64, 4, 2, pad=1)"))
    batch, row = ["--set", "data.seen.batch=64"], {"HYPNO_TARGET": "avx512"}
    has(hypno("explain", "m.yaml", "wake", *batch, env=row)[0], "product without what is outside of its image, over ")
    told = json.loads(hypno("explain", "m.yaml", "--json", *batch, env=row)[0])["phases"][0]["kernels"]
    assert {k["borders_left_out"] for k in told} == {False, True}, told
    plain = json.loads(hypno("explain", "m.yaml", "--json", "--set", "networks.edges.return=conv(lit, 8, 4, 4)", *batch, env=row)[0])
    assert not any(k["borders_left_out"] for k in plain["phases"][0]["kernels"]), plain


def no_plan_is_wasteful(path, row, *settings):
    log, _ = hypno("explain", path, "--json", "--all", *settings, env={"HYPNO_TARGET": row})
    for p in json.loads(log)["phases"]:
        assert p["arena_bound"] <= p["arena"] <= 1.05 * p["arena_bound"], f"{path}, {row}, {settings}: {p['name']} needs {p['arena']}, bound {p['arena_bound']}"


def test_memory_of_shipped_models():
    """All stages print, and no plan is 5 % above its lower bound; nor at batches at which weights and values are of one size."""
    for path in shipped():
        for stage in ("fused", "loop", "plan"):
            has(hypno("show", path, "--stage", stage)[0], {"fused": "\nkernel ", "loop": "\nnest ", "plan": "\nphase "}[stage])
        for row in targets():  # what is packed, and how much, is the row's
            no_plan_is_wasteful(path, row)
        if "cifar-six" in path:
            for row, batch in (("avx2", 1), ("avx512", 2), ("zen4", 4), ("neon", 8), ("avx2", 16), ("skylake", 24)):
                no_plan_is_wasteful(path, row, "--set", f"batch={batch}")


def test_memory_is_drawn():
    write("m.yaml", FATES)
    out, _ = hypno("show", "m.yaml", "--stage", "plan")
    chart = re.search(r"phase wake: arena .*?\n((?: .*\|\n)+) +0 .* launch\n((?:    [a-p] .*\n)+)", out)
    assert chart, out
    rows = chart[1].rstrip("\n").split("\n")
    equal(len(rows), 18)
    equal(len({len(r) for r in rows}), 1)
    has(chart[2], "f.h m.yaml:8")
    for letter in set("".join(r.split("|")[1] for r in rows)) - set(" :.#"):
        has(chart[2], f"    {letter} ")
    equal(hypno("show", "m.yaml", "--stage", "plan", "-o", "m.svg")[0], "")
    svg = ElementTree.parse("m.svg").getroot()
    ns = "{http://www.w3.org/2000/svg}"
    width, height = float(svg.get("width")), float(svg.get("height"))
    boxes = [r for r in svg.iter(ns + "rect") if r.find(ns + "title") is not None]
    titles = [r.find(ns + "title").text for r in boxes]
    assert any(re.match(r"f\.h, 0\.5 KiB, m\.yaml:8, launches \d+ to \d+$", t) for t in titles), titles
    line = line_of("graphs/std/layers.yaml", "weight: {shape: [units, dim(x)]")
    has(str(titles), f"'g.weight, 12.2 KiB, std/layers.yaml:{line}'", "gradient of ", "scratch of k")
    place = []
    for r in boxes:
        x, y, w, h = (float(r.get(k)) for k in ("x", "y", "width", "height"))
        assert w > 0 and h >= 0 and x >= 0 and y >= 0 and x + w <= width and y + h <= height, ElementTree.tostring(r)
        place.append((x, y, x + w, y + h))
    for i, p in enumerate(place):  # boxes are rounded to a hundredth
        for q in place[:i]:
            assert min(p[2], q[2]) - max(p[0], q[0]) < 0.03 or min(p[3], q[3]) - max(p[1], q[1]) < 0.03, (p, q)
    words = " ".join(t.text for t in svg.iter(ns + "text"))
    has(words, "Memory of fates", "lower bound", "parameter", "gradient", "wake", "launch")


def has_llvm():
    return "llvm" in hypno("doctor")[0].split("built without")[0].split("back ends")[1].split("\n")[0]


def broken_by_llvm():
    """A folder that an internal fault left: LLVM refuses kernels with a softplus."""
    write("m.yaml", MODEL.replace("f: linear(_, 4)", "f(x): softplus(linear(x, 4))"))
    _, err = hypno("train", "m.yaml", "--out", "r", "--set", "lr=0.2", status=3, env={"HYP_FAIL_LLVM": "softplus("})
    has(err, "error[E9999]: LLVM refuses `", "internal fault", "hypno-fault-")
    return [f for f in os.listdir(".") if f.startswith("hypno-fault-")][0]


def test_llvm_refuses():
    """What LLVM does not take is our fault: status 3 and all that reproduces it."""
    if not has_llvm():
        return
    folder = broken_by_llvm()
    has(read(folder + "/model.yaml"), "lr: 0.2", "softplus")
    has(read(folder + "/command"), "train m.yaml")
    has(read(folder + "/diagnostics.txt"), "E9999")
    has(read(folder + "/nest.txt"), "nest ", "softplus(")
    has(read(folder + "/nest.ll"), "define void @k")
    assert not os.path.exists("r"), "a run of code that is not there"
    hypno("check", folder + "/model.yaml", "--code")
    hypno("check", folder + "/model.yaml", env={"HYP_FAIL_LLVM": "softplus("})
    hypno("check", folder + "/model.yaml", "--code", status=3, env={"HYP_FAIL_LLVM": "softplus("})
    hypno("check", folder + "/model.yaml", "--code", "--backend", "interp", env={"HYP_FAIL_LLVM": "softplus("})


def test_reduce():
    if not has_llvm():
        return
    folder, env = broken_by_llvm(), {"HYP_FAIL_LLVM": "softplus("}
    has(hypno("reduce", folder, status=1)[1], "does not show any more")
    has(hypno("reduce", ".", status=1)[1], "no reproduction folder")
    out, _ = hypno("reduce", folder, env=env)
    has(out, "the fault: error[E]: LLVM refuses", "/reduced.yaml: ", "nothing more can go", "hypno check --code")
    small = read(folder + "/reduced.yaml")
    has(small, "softplus")
    for gone in ("probes", "sleep", "784", "0.2"):
        assert gone not in small, small
    assert len(small) < len(read(folder + "/model.yaml")) / 2, small
    _, err = hypno("check", folder + "/reduced.yaml", "--code", status=3, env=env)
    has(err, "LLVM refuses")
    assert not [f for f in os.listdir(folder) if f.startswith("try")], os.listdir(folder)


def test_reduce_is_stopped():
    """By its time limit and by Ctrl-C; what it has by then still shows the fault."""
    if not has_llvm():
        return
    folder, env = broken_by_llvm(), {"HYP_FAIL_LLVM": "softplus("}
    begun = time.monotonic()
    hypno("check", "m.yaml", "--code", status=3, env=env)
    a_few_tries = str(1 + int(3 * (time.monotonic() - begun)))
    out, _ = hypno("reduce", folder, "--limit", a_few_tries, env=env)
    has(out, "the time is over")
    hypno("check", folder + "/reduced.yaml", "--code", status=3, env=env)
    os.remove(folder + "/reduced.yaml")
    p = subprocess.Popen([HYPNO, "reduce", folder], stdout=subprocess.PIPE, text=True, env={**os.environ, **env})
    while not os.path.exists(folder + "/reduced.yaml") and p.poll() is None:
        time.sleep(0.01)
    p.send_signal(signal.SIGINT)
    out, _ = p.communicate(timeout=60)
    equal(p.returncode, 128 + signal.SIGINT)
    has(out, "interrupted")
    hypno("check", folder + "/reduced.yaml", "--code", status=3, env=env)
    assert not [f for f in os.listdir(folder) if f.startswith("try")], os.listdir(folder)


if __name__ == "__main__":
    sys.exit(main(globals()))
