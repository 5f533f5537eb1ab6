#!/usr/bin/env python3
"""The command, from outside: exit statuses, help, golden messages, shipped models, data, manuals; cases as in harness.py."""
import json
import lzma
import os
import re
import resource
import shutil
import subprocess
import sys

from harness import HYPNO, MODEL, SOURCE, equal, has, hypno, main, read, summary, write

VERBS = ["check", "show", "train", "eval", "dream", "data", "explain", "reduce", "doctor", "version", "help"]


def test_help_everywhere():
    for verb in VERBS:
        out, _ = hypno(verb, "--help")
        has(out, f"usage: hypno {verb}", "example:\n  hypno ")
        equal(out, hypno("help", verb)[0])
    out, _ = hypno("help")
    for verb in VERBS:
        has(out, f"\n  {verb}")
    assert not re.search(r" +\n", out + hypno("train", "--help")[0]), "blanks at a line's end"


def test_usage():
    cases = {
        (): "usage: hypno VERB",
        ("chek",): "did you mean `check`?",
        ("check",): "expected MODEL",
        ("check", "a", "b"): "one argument too many: `b`",
        ("check", "a", "--condtion", "x"): "did you mean `--condition`?",
        ("check", "a", "--set"): "--set: expected K=V",
        ("train", "a", "--seed", "-1"): "--seed -1: expected a whole number",
        ("train", "a", "--seed", "1x"): "--seed 1x: expected a whole number",
        ("train", "a", "--memory", "4X"): "expected a size",
        ("train", "a", "--backend", "cuda"): "expected one of llvm|interp",
        ("train", "a", "--quiet=yes"): "--quiet takes no value",
        ("train", "a", "--epochs", "1", "--cycles", "1"): "exclude each other",
        ("train",): "expected MODEL, or --resume RUN",
        ("show", "a", "--stage", "nope"): "expected one of model|phases",
        ("show", "a", "--dump-after", "nope"): "no pass `nope`",
        ("help", "nope"): "no verb `nope`",
    }
    for args, text in cases.items():
        out, err = hypno(*args, status=2)
        has(err, text)
        equal(out, "")


def test_mistakes():
    write("m.yaml", "hypnograph: 1\nnetworks:\n  f(x): relu(liner(x, 3))\nphases:\n  wake:\n    nodes:\n      a: 1 +\n")
    out, err = hypno("check", "m.yaml", status=1)
    equal(out, "")
    has(err, "m.yaml:7:", "error[E0110]", "^", "1 mistake")
    assert "\033" not in err, "colour without a terminal"
    has(hypno("check", "absent.yaml", status=1)[1], "absent.yaml: error[E0002]")
    write("m.yaml", MODEL.replace("flatten(seen.image)", "flatten(sean.image)").replace("dreams: {image: sleep.x", "dreams: {image: sleap.x"))
    has(hypno("check", "m.yaml", status=1)[1], "did you mean `seen.image`?")
    write("m.yaml", MODEL.replace("  sleep:\n    nodes:\n", "  sleep:\n    nodes:\n      asked: 1\n"))
    equal(hypno("check", "m.yaml")[1], "")  # of a phase that is there to be asked


def test_mistakes_that_passes_find():
    """Of the middle of the compiler, which the golden tests do not run."""
    write("m.yaml", MODEL.replace("- f, g: error", "- f, g: mean(stop(g(f(x))))"))
    has(hypno("check", "m.yaml", status=1)[1], "m.yaml:15:9: error[E0503]")


def test_set():
    write("m.yaml", MODEL)
    s = summary("m.yaml", "--out", "r", "--set", "schedule.epochs=1", "--set", "data.seen.take=[0, 32]", "--set",
                "probes.miss.value=2*original", "--set", "constants={n: 3}", "--set", "schedule.cycles=2")
    equal((s["cycles"], s["epochs"]), (2, 1))
    has(read("r/model.yaml"), "value: 2 * wake.error", "take: [0, 32]", "n: 3")
    equal(hypno("eval", "r", "--summary", "json")[0].count("miss"), 1)
    _, err = hypno("check", "m.yaml", "--set", "probes.mis.every=end", "--set", "lr=hello", status=1)
    has(err, "--set:1:8: error[E0804]", "did you mean `miss`?", "--set:1:4: error[E0")


def test_unknown_function_is_said_once():
    write("m.yaml", MODEL.replace("linear(_, 4)", "liner(_, 4)"))
    _, err = hypno("check", "m.yaml", status=1)
    has(err, "m.yaml:7:6: error[E0203]", "did you mean `linear`?", "1 mistake\n")
    assert err.count("E0203") == 1, err


def test_explain():
    out, _ = hypno("explain", "e0104")
    has(out, "E0104: this expression was cut at a comma", "An error")
    _, err = hypno("explain", "E0140", status=1)
    has(err, "no diagnostic `E0140`")
    names = re.findall(r"^DIAG\((\w+),", read(os.path.join(SOURCE, "runtime/base/diag.def")), re.M)
    for name in names:
        has(hypno("explain", name)[0], name + ": ")


def entries(folder):
    found = os.path.join(folder, "objects")
    return sorted(os.path.join(found, f) for f in os.listdir(found)) if os.path.isdir(found) else []


def trained(cache, out, **env):
    """(kernels compiled, checkpoint) of a run with that cache."""
    run, err = hypno("train", "m.yaml", "--out", out, "--threads", "2", "--cycles", "2", "--summary", "json", "--quiet",
                     env={"HYPNO_CACHE": cache, **env})
    equal(err, "")
    return json.loads(run)["compiled_kernels"], read(f"{out}/checkpoint.safetensors", "rb")


def test_cache():
    """What was compiled once is not compiled again, and nothing that lies in the cache changes a run."""
    write("m.yaml", MODEL)
    here = os.path.abspath("c")
    count, want = trained("off", "off")
    if not count:
        return  # the interpreter compiles nothing
    equal(trained(here, "cold"), (count, want))
    equal(len(entries(here)), count)
    equal(trained(here, "warm"), (0, want))

    damaged = entries(here)
    whole = [read(f, "rb") for f in damaged]
    for i, f in enumerate(damaged):
        bad = (whole[i][:len(whole[i]) // 2], whole[i][:70] + b"?" + whole[i][71:], b"", whole[i - 1], os.urandom(5000))[i % 5]
        with open(f, "wb") as out:
            out.write(bad)
    equal(trained(here, "damaged"), (count, want))
    equal([read(f, "rb") for f in damaged], whole)  # rewritten, with the same bits

    for f in damaged:  # as another version names its entries
        os.rename(f, f[:-64] + f[-64:].translate(str.maketrans("0123456789abcdef", "123456789abcdef0")))
    equal(trained(here, "other"), (count, want))
    equal(len(entries(here)), 2 * count)
    has(hypno("doctor", env={"HYPNO_CACHE": here})[0], f"cache        {here}/objects: ", f"{2 * count} kernels")
    has(hypno("doctor", "--clear-cache", env={"HYPNO_CACHE": here})[0], f"{2 * count} entries removed", " 0 kernels")
    equal(entries(here), [])


def test_cache_shared():
    """Two processes that fill one cache at once."""
    write("m.yaml", MODEL)
    env = {**os.environ, "HYPNO_CACHE": os.path.abspath("c")}
    both = [subprocess.Popen([HYPNO, "train", "m.yaml", "--out", name, "--cycles", "2", "--quiet"], env=env, stdout=subprocess.DEVNULL)
            for name in ("one", "two")]
    equal([p.wait(timeout=300) for p in both], [0, 0])
    _, want = trained(os.path.abspath("c"), "three")
    for name in ("one", "two"):
        equal(read(f"{name}/checkpoint.safetensors", "rb"), want)
    assert not [f for f in entries("c") if f.endswith(".tmp")]


def test_cache_places():
    """A cache that cannot be used is done without; `doctor` says why."""
    write("m.yaml", MODEL)
    os.makedirs("open/objects")
    os.chmod("open/objects", 0o777)
    count, want = trained("off", "off")
    for cache, why in ((write("file", ""), " (cannot be written): 0.0 of 256 MiB"), ("/proc/none", " (cannot be written)"),
                       ("open", "everybody may write to it"), ("off", "none: HYPNO_CACHE is off"), ("x" * 4096, "too long")):
        if cache not in ("off", "x" * 4096):
            equal(trained(cache, f"r{len(os.listdir('.'))}"), (count, want))
        has(hypno("doctor", env={"HYPNO_CACHE": cache})[0], "cache        ", why)
    nobody = {"HYPNO_CACHE": "", "XDG_CACHE_HOME": "", "HOME": ""}
    equal(trained("", "nobody", **nobody), (count, want))
    has(hypno("doctor", env=nobody)[0], "none: neither HYPNO_CACHE nor HOME is set")
    home = {**nobody, "HOME": os.path.abspath("home")}
    equal(trained("", "home", **{k: v for k, v in home.items() if k != "HYPNO_CACHE"}), (count, want))
    equal(len(os.listdir("home/.cache/hypno/objects")) if count else 0, count)
    has(hypno("doctor", env={**home, "XDG_CACHE_HOME": "/xdg"})[0], "cache        /xdg/hypno/objects")


def test_version_and_doctor():
    assert re.fullmatch(r"hypno \d+\.\d+\.\d+\n", hypno("version")[0])
    out, _ = hypno("doctor", "--data", ".")
    has(out, "back ends", "interp", "target", "threads", "libyaml", "data         .")


def test_stages():
    write("m.yaml", MODEL)
    for stage, mark in (("model", "hypnograph: 1"), ("phases", "phases:"), ("graph", "graph"), ("fused", "\nkernel "),
                        ("loop", "\nnest "), ("plan", "plan of tiny")):
        has(hypno("show", "m.yaml", "--stage", stage)[0], mark)
    out, _ = hypno("show", "m.yaml", "-o", "out.yaml")
    equal(out, "")
    has(read("out.yaml"), "phases:")
    _, err = hypno("show", "m.yaml", "--stage", "plan", "--phase", "nope", status=1)
    has(err, "no phase `nope`", "wake")


def papers():
    for folder, _, names in sorted(os.walk(os.path.join(SOURCE, "graphs/papers"))):
        for name in sorted(names):
            if name.endswith(".yaml"):
                yield os.path.join(folder, name)


def test_conditions():
    """Every condition of every shipped model passes the check."""
    for path in papers():
        own = re.search(r"^conditions:\n((?:  .*\n|\n)+)", read(path), re.M)
        for name in re.findall(r"^  (\w+):", own.group(1) if own else "", re.M):
            has(hypno("check", path, "--condition", name)[0], ": fine; ")


def test_removed_condition():
    """One that a model takes away from its base is unknown, and nobody is sent back to it."""
    dreams = os.path.join(SOURCE, "graphs/papers/dreaming")
    has(hypno("check", f"{dreams}/pad.yaml", "--condition", "without_nrem")[0], ": fine; ")
    _, err = hypno("check", f"{dreams}/contrastive.yaml", "--condition", "without_nrem", status=1)
    has(err, "E0203", "unknown condition `without_nrem`")
    assert "did you mean `without_nrem`" not in err, err


def test_demos():
    """What `./dev demo` trains has code; as merged, as its run folder keeps it, nothing in it is unused."""
    demos = [path for path in papers() if path.endswith("/demo.yaml")]
    equal(len(demos), 2)
    for path in demos:
        hypno("show", path, "--stage", "model", "-o", "merged.yaml")
        out, err = hypno("check", "merged.yaml", "--code")
        has(out, ": fine; ")
        equal(err, "")


SIX = os.path.join(SOURCE, "graphs/papers/adversarial-wake-sleep/cifar-six.yaml")


def six_weights(window, stride, pad, window_top, window_head, image_hidden, seen1, seen2, seen3, **see):
    """Extents of z1 to z5 and the number of weights, from channels and windows."""
    conv = lambda i, o, k: i * o * k * k + o
    side = lambda n, k, s, p: (n + 2 * p - k) // s + 1
    maps, sides = [3, 32, 64, 128, 256, 100], [32]
    for _ in range(4):
        sides.append(side(sides[-1], window, stride, pad))
    sides.append(side(sides[-1], window_top, 1, 0))
    total = 0
    for i, k in enumerate([window] * 4 + [window_top]):
        low, high = maps[i], maps[i + 1]
        hidden = low if i else image_hidden
        total += conv(low, high, k) + conv(high, 2 * high, window_head)
        total += conv(high, hidden, k) + conv(hidden, 2 * low, window_head)
    for i, (c1, c2) in enumerate([(seen1, seen2)] * 2 + [(seen2, seen3)] + [(seen3, seen3)] * 3):
        k1, s1, p1, k2, s2, p2 = see[f"see_z{i}" if i else "see_x"]
        n = side(side(sides[i], k1, s1, p1), k2, s2, p2)
        total += conv(maps[i], c1, k1) + conv(c1, c2, k2) + c2 * n * n + 1
    return sides[1:], total


def test_guesses_have_names():
    """cifar-six: no guess is a literal of its functions, pathways, critics and optimizers; each constant changes what it says."""
    text = read(SIX)
    for section in ("functions", "pathways", "discriminators", "optimizers"):
        body = re.search(rf"^{section}:.*\n((?:  .*\n)+)", text, re.M)[1]
        body = re.sub(r"#.*|\[[0-5]\]|\(z1, 3, ", "", body)  # parts of a list; the image's channels
        equal(re.findall(r"(?<![\w.])-?\d[\w.]*", body), [])
    constants = {"window": 4, "stride": 2, "pad": 1, "window_top": 2, "window_head": 1, "image_hidden": 32, "seen1": 64, "seen2": 128,
                 "seen3": 256, "see_x": [4, 2, 1, 4, 2, 1], "see_z1": [4, 2, 1, 4, 2, 1], "see_z2": [4, 2, 1, 4, 2, 1],
                 "see_z3": [4, 2, 1, 2, 1, 0], "see_z4": [2, 1, 0, 1, 1, 0], "see_z5": [1, 1, 0, 1, 1, 0]}
    wide = {f"see_{layer}": [1, 1, 0, 1, 1, 0] for layer in ("x", "z1", "z2", "z3", "z4", "z5")}
    cases = [{}, {"window": 6, "pad": 2}, {"stride": 1, "window": 3}, {"window_top": 1}, {"window_head": 3}, {"image_hidden": 7},
             {"seen1": 5}, {"seen2": 6}, {"seen3": 7}, *({key: value} for key, value in wide.items()),
             {"see_x": [8, 4, 3, 2, 1, 0]}, {"see_x": [4, 2, 0, 4, 2, 1]}, {"see_z2": [4, 2, 1, 4, 2, 3]}]
    for case in cases:
        sides, total = six_weights(**{**constants, **case})
        sets = [f"constants.{key}={value}" for key, value in case.items()]
        sets += [f"layers.z{i}.shape=[c{i}, {n}, {n}]" for i, n in enumerate(sides, 1)]
        out, _ = hypno("check", SIX, "--set", "batch=1", *(word for s in sets for word in ("--set", s)))
        has(out, f": fine; {total:,} weights")
    same = hypno("show", SIX, "--stage", "graph")[0]
    for changed in ("constants.betas=[0.9, 0.999]", "constants.betas=[0.5, 0.99]", "constants.slope=0.1", "functions.link(s)=exp(s)"):
        assert hypno("show", SIX, "--stage", "graph", "--set", changed)[0] != same, changed


def test_phases_are_a_model():
    """What `show` prints is checked, printed again the same, for every shipped model."""
    for path in papers():
        text, _ = hypno("show", path, "--stage", "phases")
        hypno("check", write("again.yaml", text))
        equal(re.sub(" +", " ", hypno("show", "again.yaml", "--stage", "phases")[0]), re.sub(" +", " ", text))


def test_bench_models():
    """What only the bench trains compiles, and trains on the drawn source that stands in for files."""
    drawn = {"encoder.yaml": "shapes", "mlp.yaml": "digits"}
    folder = os.path.join(SOURCE, "bench/models")
    equal(sorted(os.listdir(folder)), sorted(drawn))
    for name, source in drawn.items():
        model = os.path.join(folder, name)
        has(hypno("check", model)[0], "fine")
        done = summary(model, "--out", name, "--set", f"data.all.source={source}", "--set", "batch=4", "--cycles", "2")
        equal(done["cycles"], 2)


def attacks():
    """Files made to take the machine, and the code that refuses each (None: they are fine)."""
    def phase(nodes, before="", after=""):
        return ("hypnograph: 1\ndata: {digits: {source: digits, batch: 4}}\n" + before + "phases:\n  p:\n    nodes:\n" + nodes +
                "schedule: {epochs: 1, cycle: [p]}\nprobes: {b: {value: b}}\n" + after)

    def value(text):
        return phase(f"      a: {text}\n      b: mean(a)\n")

    def doubling(first, again, use, kind="functions"):
        text = f"functions:\n  f0(x): {first}\n" + "".join(f"  f{i}(x): {again.replace('f', f'f{i - 1}')}\n" for i in range(1, 41))
        return phase(f"      b: {use}\n", text + ("networks: {n: f40}\n" if kind == "networks" else ""))

    yield value("(" * 100000 + "1" + ")" * 100000), "E0902"
    yield value("[" * 1000 + "1" + "]" * 1000), "E0902"
    yield doubling("x + 1", "f(f(x))", "f40(1)"), "E0902"
    yield doubling("x + 1", "f(x) + f(x + 1)", "mean(f40(digits.image))"), "E0902"
    yield doubling("x, x", "f(x), f(x)", "sum(f40(1))"), "E0902"
    yield doubling("linear(x, 2)", "f(f(x))", "mean(n(digits.image))", "networks"), "E0902"
    yield phase("      b: chain(f, 1, 100000000)\n", "functions: {f(x): x + 1}\n"), "E0902"
    yield phase("      b: chain(g, 1, 10000)\n", "functions:\n  f(x): x + 1\n  g(x): chain(f, x, 10000)\n"), "E0902"
    yield phase("      x: 1.0 * digits.label\n      g0: x * x * x\n" +
                "".join(f"      g{i}: grad(g{i - 1} * g{i - 1} * x, x)\n" for i in range(1, 20)) + "      b: mean(g19)\n"), "E0902"
    for text in ("expand(digits.image, 1000000000)", "eye(1000000000)", "outer(fill(1, 1000000), fill(1, 1000000))", "fill(1, 1e30)",
                 "concat(fill(1, 2000000000), fill(1, 2000000000))", "~normal(shape=[100000, 100000])"):
        yield value(text), "E0902"
    for text in ("fill(1, 2147483647)", "matmul(eye(40000), eye(40000))"):
        yield value(text), "E0901"
    yield phase("      x: 1.0 * digits.label\n      g0: exp(sin(x))\n" +
                "".join(f"      g{i}: grad(sum(tanh(g{i - 1}) * g{i - 1} * x), x)\n" for i in range(1, 20)) +
                "      b: mean(g19)\n"), "E0902"
    yield value("[" + ", ".join(["1"] * 500000) + "]"), "E0902"
    yield value("[" + "a" * 2000000 + "]"), "E0902"
    one = "      b: mean(digits.label)\n"
    yield phase(one, after="".join(f"  p{i}: {{value: b, from: digits}}\n" for i in range(20000))).replace(
        "probes: {b: {value: b}}", "probes:"), "E0902"
    yield phase(one, after="  q: {value: b * s, over: {s: [" + ", ".join(["1"] * 1001) + "]}}\n").replace(
        "probes: {b: {value: b}}", "probes:"), "E0902"
    yield "hypnograph: 1\n" + "".join(f"k{i}: 1\n" for i in range(100000)), "E0201"
    yield phase("".join(f"      a{i}: b{i}\n" for i in range(20000)) + one), "E0203"
    yield phase("      a0: 1.0 * digits.label\n" + "".join(f"      a{i}: a{i - 1} + sin(a{i - 1})\n" for i in range(1, 10000)) +
                "      b: mean(a9999)\n"), None
    yield phase("      b: 1\n").replace("data: {digits: {source: digits, batch: 4}}\n", ""), None


def test_attacks():
    """Refused within bounded memory, and in about a second of a quiet processor."""
    with open(HYPNO, "rb") as f:
        program = f.read()
    sanitized = b"__asan_init" in program or b"__tsan_init" in program

    def limit():
        if not sanitized:
            resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
            resource.setrlimit(resource.RLIMIT_CPU, (10, 10))

    for text, code in attacks():
        write("m.yaml", text)
        run = subprocess.run([HYPNO, "check", "m.yaml", "--memory", "1G"], capture_output=True, text=True, preexec_fn=limit,
                             timeout=300)
        line = text[:300] + "\n" + run.stderr[:600]
        assert run.returncode == (1 if code else 0), f"exit {run.returncode}: {line}"
        assert not code or f"error[{code}]" in run.stderr, line


# Two groups in three steps, noise, a state of the optimizer; what stands for %s is the schedule.


def test_data():
    out, _ = hypno("data", "digits", "-o", "sheet.png")
    has(out, "digits: 60000 samples", "image        f32[1, 28, 28] per sample", "10 classes")
    equal(read("sheet.png", "rb")[:4], b"\x89PNG")
    out, _ = hypno("data", "shapes", "--split", "test", "-o", "shapes.png")
    has(out, "shapes: 10000 samples", "image        f32[3, 32, 32] per sample", "10 classes: circle: ", " arrow: ")
    equal(read("shapes.png", "rb")[:4], b"\x89PNG")
    _, err = hypno("data", "digts", status=1)
    has(err, "did you mean `digits`?")
    _, err = hypno("data", "mnist", "--data", "nowhere", status=1)
    has(err, "error[E0706]", "nowhere")
    _, err = hypno("data", "mnist", status=1, env={"HYPNO_DATA": "else:where"})
    has(err, "else", "where")


def test_photographs():
    """Published files, whole and damaged, as the command reports them."""
    out, _ = hypno("data", "svhn", "--data", os.path.join(SOURCE, "tests", "reference", "svhn"), "-o", "svhn.png")
    has(out, "svhn: 4 samples", "image        f32[3, 32, 32] per sample", "10 classes: 1 1 0 0 0 1 0 0 0 1")
    record = bytes([7]) + bytes(range(256)) * 12
    write("d/cifar10/data_batch_3.bin.xz", lzma.compress(2 * record), "wb")
    out, _ = hypno("data", "cifar10", "--data", "d")
    has(out, "cifar10: 2 samples (1 of 5 training batches: 3)", "10 classes: 0 0 0 0 0 0 0 2 0 0")
    write("d/cifar10/data_batch_3.bin.xz", lzma.compress(record)[:-20], "wb")
    _, err = hypno("data", "cifar10", "--data", "d", status=1)
    has(err, "error[E0707]", "data_batch_3.bin.xz: damaged xz data", "hint:", "fetch it again")
    write("m.yaml", MODEL.replace("source: digits", "source: cifar10").replace("784", "3072"))
    _, err = hypno("train", "m.yaml", "--data", "d", "--out", "r", status=1)
    has(err, "error[E0707]", "data_batch_3.bin.xz: damaged xz data", "hint:")


FOLDER = """hypnograph: 1
name: folder
constants: {side: 12}
data:
  pics: {source: folder, file: zoo, resize: [side, 16], scale: [-1, 1], batch: 2}
networks:
  f(x): linear(flatten(x), 1)
phases:
  wake:
    nodes:
      x:     reshape(pics.image, [3, 12, 16])
      error: mean(f(x)**2)
    update:
      - f: error
optimizers:
  f: sgd(lr=1e-3)
schedule: {epochs: 1, cycle: [wake]}
"""


def test_folder():
    """Pictures of two sizes and depths, brought to one."""
    for name in ("shapes", "digits"):
        os.makedirs(f"zoo/{name}")
        hypno("data", name, "-o", f"zoo/{name}/1.png")
    shutil.copy("zoo/shapes/1.png", "zoo/digits/2.png")
    _, err = hypno("data", "folder", "--data", ".", "--file", "zoo", status=1)
    has(err, "error[E0707]", "2.png: expected a grey image as the first one is")
    os.rename("zoo/shapes", "zoo/a")  # colours come first
    _, err = hypno("data", "folder", "--data", ".", "--file", "zoo", status=1)
    has(err, "error[E0707]", "`resize: [height, width]` makes them alike")
    write("m.yaml", FOLDER)
    equal(summary("m.yaml", "--data", ".", "--out", "r")["cycles"], 2)


SHAPES = """hypnograph: 1
name: shapes
data:
  all:    {source: shapes, scale: [-1, 1], batch: 32}
  seen:   {split: train, take: [0, 16000]}
  unseen: {split: test, take: [0, 1000]}
networks:
  eye(x):
    h1:     relu(conv(x, 12, 4, 2, 1))
    h2:     relu(conv(h1, 24, 4, 2, 1))
    h3:     relu(conv(h2, 32, 4, 2, 1))
    return: linear(flatten(h3), 10)
  line(x):  linear(flatten(x), 10)
phases:
  wake:
    nodes:
      x:     seen.image
      seer:  eye(x)
      lined: line(x)
    update:
      - eye:  mean(cross_entropy(seer, seen.label))
      - line: mean(cross_entropy(lined, seen.label))
optimizers:
  eye:  adam(lr=3e-3)
  line: sgd(lr=3e-3)
schedule: {epochs: 1, cycle: [wake]}
probes:
  shape: {metric: accuracy, of: wake.seer, labels: seen.label, from: unseen}
  pixel: {metric: accuracy, of: wake.lined, labels: seen.label, from: unseen}
"""


def test_shapes():
    """Convolutions tell shapes apart, pixels do not."""
    if "built without llvm" in hypno("doctor")[0]:
        return  # minutes in the interpreter
    write("m.yaml", SHAPES)
    s = summary("m.yaml", "--out", "r", "--threads", "1")
    shape, pixel = s["values"]["shape"], s["values"]["pixel"]
    assert shape > 0.45 and pixel < 0.2, f"{shape} and {pixel} are right"


def test_empty_models():
    """A model of nothing, and one of functions alone, are models."""
    for text in ("", "functions:\n  same(x): x\n"):
        write("nothing.yaml", "hypnograph: 1\n" + text)
        has(hypno("check", "nothing.yaml")[0], "0 weights, 0 kernels")
        for stage in ("phases", "graph", "fused", "loop"):
            hypno("show", "--stage", stage, "nothing.yaml")
        has(hypno("show", "--stage", "plan", "nothing.yaml")[0], "plan of nothing for")
        _, err = hypno("train", "nothing.yaml", "--out", f"r{len(text)}")
        has(err, "no `schedule`")


def test_memory_limit():
    write("m.yaml", MODEL)
    _, err = hypno("check", "m.yaml", "--memory", "1K", status=1)
    has(err, "E0901", "no batch fits")


def test_manuals():
    hypno("doc", "docs")
    for name in os.listdir("docs"):
        equal(read(os.path.join("docs", name)), read(os.path.join(SOURCE, "docs", name)))
    json.loads(read("docs/hypnograph.schema.json"))
    assert subprocess.run(["bash", "-n", "docs/hypno.bash"]).returncode == 0
    script = "source docs/hypno.bash; COMP_WORDS=(hypno train --ep); COMP_CWORD=2; _hypno; echo ${COMPREPLY[@]}"
    equal(subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout, "--epochs\n")


if __name__ == "__main__":
    sys.exit(main(globals()))
