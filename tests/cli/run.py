#!/usr/bin/env python3
"""The command, from outside: exit statuses, help, golden messages, round trips, runs.

run.py HYPNO SOURCE_DIR [CASE ... | I/N]; every function called test_... is a case and runs in a folder of its own.
I/N: every N-th case from the I-th on, so that ctest can run shares side by side.
Standard library only.
"""
import json
import lzma
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

os.environ["HYPNO_CACHE"] = "off"  # never the user's
HYPNO, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
VERBS = ["check", "show", "train", "eval", "dream", "data", "explain", "reduce", "doctor", "version", "help"]
MODEL = """hypnograph: 1
name: tiny
settings: {lr: 0.1}
data:
  seen: {source: digits, split: train, take: [0, 64], batch: 16}
networks:
  f: linear(_, 4)
  g: linear(_, 784)
phases:
  wake:
    nodes:
      x:     flatten(seen.image)
      error: mean((g(f(x)) - x)**2)
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


def hypno(*args, status=0, env=None):
    """(stdout, stderr) of a run that has to end with `status`."""
    full = {k: v for k, v in os.environ.items() if k not in ("HYPNO_DATA", "NO_COLOR")}
    full.update(env or {})
    run = subprocess.run([HYPNO, *args], capture_output=True, text=True, env=full, timeout=300)
    line = "hypno " + " ".join(args)
    assert run.returncode == status, f"{line}: exit {run.returncode}, want {status}\n{run.stdout}{run.stderr}"
    return run.stdout, run.stderr


def equal(got, want):
    assert got == want, f"got\n{got}\nwant\n{want}"


def has(text, *parts):
    for part in parts:
        assert part in text, f"{part!r} is not in\n{text}"


def write(path, text, mode="w"):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as f:
        f.write(text)
    return path


def read(path, mode="r"):
    with open(path, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as f:
        return f.read()


def test_phases_left_out_have_no_probes():
    """`when` keeps sleep from two cycles of three: its probes are logged once, and no picture is drawn of it."""
    model = MODEL.replace("cycle: [wake]", "cycle: [wake, {sleep: 1, when: 'mod(step, 3) == 1'}]")
    write("tiny.yaml", model.replace("every: end", "every: 2 cycles") + "  each: {value: mean(sleep.x), every: 1 cycles}\n")
    hypno("train", "tiny.yaml", "--out", "run", "--cycles", "4")
    values = [line.split(",") for line in read("run/metrics.csv").splitlines()]
    equal([v[0] for v in values if v[2] == "each"], ["2"])
    equal(os.listdir("run/images"), ["dreams-cycle00000002.png"])


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


def test_phases_train_the_same():
    write("m.yaml", MODEL)
    write("again.yaml", hypno("show", "m.yaml", "--stage", "phases")[0])
    for name in ("m", "again"):
        hypno("train", name + ".yaml", "--out", name, "--threads", "1", "--quiet")
    equal(read("m/metrics.csv"), read("again/metrics.csv"))


def summary(*args, status=0):
    out, _ = hypno("train", *args, "--summary", "json", "--quiet", status=status)
    return json.loads(out.rstrip("\n").split("\n")[-1])


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
    "--set", "data.all.source=npy", "--set", "data.photos.split=none", "--set", "data.unseen=none", "--set", "probes=none",
    "--set", "batch=8", "--set", "constants.width=4", "--set", "constants.latents=8", "--cycles", "3", "--backend", "interp64", "--quiet",
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
FAULTS = [
    ("bad:   log(x) * 0", [], "`wake/bad` (m.yaml:14), phase wake, step 1"),
    ("bad:   0 * sum(x / (x - x), over=units)", [], "`wake/bad` (m.yaml:14), phase wake, step 1"),
    ("bad:   exp(1000 * x) - exp(1000 * x)", [], "`wake/bad` (m.yaml:14), phase wake, step 1"),
    ("bad:   0", ["--set", "lr=1e18"], "`wake/error` (m.yaml:16), phase wake, step 2"),
    ("bad:   0", ["--set", "lr=3e38"], "`f` (std/layers.yaml:14, from m.yaml:6), phase wake, step 2"),
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
    for target in ["", "generic", "avx2", "avx512", "neon"]:
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


def test_manuals():
    hypno("doc", "docs")
    for name in os.listdir("docs"):
        equal(read(os.path.join("docs", name)), read(os.path.join(SOURCE, "docs", name)))
    json.loads(read("docs/hypnograph.schema.json"))
    assert subprocess.run(["bash", "-n", "docs/hypno.bash"]).returncode == 0
    script = "source docs/hypno.bash; COMP_WORDS=(hypno train --ep); COMP_CWORD=2; _hypno; echo ${COMPREPLY[@]}"
    equal(subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout, "--epochs\n")


def main(names):
    cases = sorted((n, f) for n, f in names.items() if n.startswith("test_"))
    wanted = sys.argv[3:]
    if wanted and "/" in wanted[0]:
        first, step = map(int, wanted[0].split("/"))
        cases = cases[first::step]
    elif wanted:
        cases = [(n, f) for n, f in cases if n in wanted]
    failed = 0
    for name, case in cases:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                case()
                print(f"ok   {name}")
            except Exception as e:  # a failure of one case says nothing about the others
                print(f"FAIL {name}: {type(e).__name__}: {e}")
                failed += 1
            os.chdir(SOURCE)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(globals()))
