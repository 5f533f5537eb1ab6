#!/usr/bin/env python3
"""The command, from outside: exit statuses, help, golden messages, round trips, runs.

run.py HYPNO SOURCE_DIR [CASE ... | I/N]; every function called test_... is a case and runs in a folder of its own.
I/N: every N-th case from the I-th on, so that ctest can run shares side by side.
Standard library only.
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

HYPNO, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
VERBS = ["check", "show", "train", "eval", "dream", "data", "explain", "doctor", "version", "help"]
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


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def read(path, mode="r"):
    with open(path, mode, **({} if "b" in mode else {"encoding": "utf-8"})) as f:
        return f.read()


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
    hypno("check", "absent.yaml", status=1)


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


def test_phases_are_a_model():
    """What `show` prints is checked, printed again the same, for every shipped model."""
    papers = os.path.join(SOURCE, "graphs/papers/adversarial-wake-sleep")
    for name in sorted(os.listdir(papers)):
        if not name.endswith(".yaml"):
            continue
        text, _ = hypno("show", os.path.join(papers, name), "--stage", "phases")
        hypno("check", write("again.yaml", text))
        equal(re.sub(" +", " ", hypno("show", "again.yaml", "--stage", "phases")[0]), re.sub(" +", " ", text))


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
    for key in ("cycles", "seconds_per_cycle", "first_cycle_seconds", "compile_seconds", "kernels", "arena_bytes",
                "peak_rss_bytes", "values"):
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


def test_data():
    out, _ = hypno("data", "digits", "-o", "sheet.png")
    has(out, "digits: 60000 samples", "image        f32[1, 28, 28] per sample", "10 classes")
    equal(read("sheet.png", "rb")[:4], b"\x89PNG")
    _, err = hypno("data", "digts", status=1)
    has(err, "did you mean `digits`?")
    _, err = hypno("data", "mnist", "--data", "nowhere", status=1)
    has(err, "error[E0706]", "nowhere")
    _, err = hypno("data", "mnist", status=1, env={"HYPNO_DATA": "else:where"})
    has(err, "else", "where")


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
    has(err, "E0901")


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


def main():
    cases = sorted((n, f) for n, f in globals().items() if n.startswith("test_"))
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
    sys.exit(main())
