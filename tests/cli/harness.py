"""What the programs of this folder share: running the command, comparing, and their main().

NAME.py HYPNO SOURCE_DIR [CASE ... | I/N]; every function called test_... is a case and runs in a folder of its own.
I/N: every N-th case from the I-th on, so that ctest can run shares side by side.
Standard library only.
"""
import json
import os
import subprocess
import sys
import tempfile

os.environ["HYPNO_CACHE"] = "off"  # never the user's
HYPNO, SOURCE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
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


def targets():
    """The names of all rows of target.def."""
    return hypno("doctor")[0].split("\ntargets")[1].split("(")[0].split()


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


def line_of(path, text):
    """The number of the first line of a file of ours that has the text."""
    return next(i for i, line in enumerate(read(os.path.join(SOURCE, path)).split("\n"), 1) if text in line)


def summary(*args, status=0):
    out, _ = hypno("train", *args, "--summary", "json", "--quiet", status=status)
    return json.loads(out.rstrip("\n").split("\n")[-1])


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
