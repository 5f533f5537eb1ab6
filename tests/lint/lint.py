#!/usr/bin/env python3
"""What a compiler does not check: layers, names, sizes, formats, generated manuals.

Every check is a function that yields (file, line, message); the table at the end lists them.
`lint.py --self-test` breaks each rule once in memory and sees it reported.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")

# Who may include what (ARCHITECTURE.md): a file's own folder always, and these.
OPS = ["runtime/base", "ops"]
IR = OPS + ["compiler/ir"]
LOOP = IR + ["runtime/plan.h", "codegen/loop", "codegen/backend.h"]
COMPILER = LOOP + ["compiler/front", "compiler/passes", "codegen/interp", "codegen/llvm", "codegen"]
LAYERS = {
    "runtime/base": [],
    "ops": ["runtime/base"],
    "compiler/ir": OPS,
    "compiler/front": IR,
    "compiler/passes": IR,
    "codegen": ["runtime/base", "runtime/plan.h", "codegen/loop"],
    "codegen/loop": IR + ["runtime/plan.h"],
    "codegen/interp": LOOP,
    "codegen/llvm": LOOP,
    "runtime": ["runtime/base"],
    "compiler/driver": COMPILER + ["runtime"],
    "compiler/cli": COMPILER + ["compiler/driver", "runtime"],
}
# System headers that belong to one folder.
ONLY_IN = {"llvm-c/": "codegen/llvm", "yaml.h": "compiler/front", "cuda": "codegen/cuda"}

FILE_CAP, FILE_AIM, FUNCTION_CAP = 1000, 500, 70
# A normal draw is a leaf's law, which back ends may draw in pairs; no other function has a name there.
DRAWN_LAWS = {"normal"}
FORBIDDEN = [
    (re.compile(r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX)\b"), "an unfinished thing needs an issue, not a word"),
    (re.compile("/wo" + "rk/|/ho" + "me/"), "a path of one machine"),
]
FORBIDDEN_OUTSIDE_TESTS = [(re.compile("/tm" + "p/"), "a path of one machine")]


def tracked(*endings):
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                         capture_output=True, text=True, check=True).stdout.split("\n")
    files = [f for f in out if f.endswith(endings) and os.path.isfile(os.path.join(ROOT, f))]
    return sorted(set(files))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as f:
        return f.read()


def folder_of(path):
    """The longest folder of LAYERS that holds the file."""
    best = None
    for folder in LAYERS:
        if path.startswith(folder + "/") and (best is None or len(folder) > len(best)):
            best = folder
    return best


def may_include(folder, header):
    return folder_of(header) == folder or any(
        header == allowed or folder_of(header) == allowed for allowed in LAYERS[folder])


def layers(path, text):
    folder = folder_of(path)
    for number, line in enumerate(text.split("\n"), 1):
        m = re.match(r'\s*#\s*include\s+(["<])([^">]+)', line)
        if not m:
            continue
        header = m.group(2)
        if m.group(1) == '"' and folder and folder_of(header) and not may_include(folder, header):
            yield path, number, f"{folder} may not include {header}"
        for prefix, home in ONLY_IN.items():
            if m.group(1) == "<" and header.startswith(prefix) and not path.startswith((home, "tests/")):
                yield path, number, f"<{header}> belongs into {home}"


def op_names(path, text):
    if not path.startswith("codegen/"):
        return
    for number, line in enumerate(text.split("\n"), 1):
        for name in re.findall(r"\bSX_FN_(\w+)", line):
            if name not in DRAWN_LAWS:
                yield path, number, f"back ends know no function by name: {name}"


def sizes(path, text):
    lines = text.split("\n")
    if len(lines) > FILE_CAP:
        yield path, 1, f"{len(lines)} lines; the cap is {FILE_CAP}"
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif line.startswith("}") and start is not None:
            if number - start - 1 > FUNCTION_CAP:
                yield path, start, f"a function of {number - start - 1} lines; the cap is {FUNCTION_CAP}"
            start = None


def words(path, text):
    rules = FORBIDDEN + ([] if path.startswith("tests/") else FORBIDDEN_OUTSIDE_TESTS)
    for number, line in enumerate(text.split("\n"), 1):
        for pattern, why in rules:
            if pattern.search(line):
                yield path, number, f"{why}: {pattern.search(line).group(0)}"


def formatted():
    files = tracked(".c", ".h")
    tool = os.environ.get("CLANG_FORMAT", "clang-format")
    run = subprocess.run([tool, "--dry-run", "-ferror-limit=1"] + files, cwd=ROOT, capture_output=True, text=True)
    bad = sorted(set(re.findall(r"^(\S+?):\d+:\d+: (?:warning|error)", run.stderr, re.M)))
    for path in bad:
        yield path, 1, "not formatted: ./dev fmt"


def built():
    """Every C file is compiled by something."""
    try:
        with open(os.path.join(BUILD, "compile_commands.json"), encoding="utf-8") as f:
            known = {os.path.relpath(e["file"], ROOT) for e in json.load(f)}
    except OSError:
        yield "build", 1, "no compile_commands.json: ./dev build"
        return
    elsewhere = read("CMakeLists.txt") + "".join(read(f) for f in tracked("CMakeLists.txt"))
    for path in tracked(".c"):
        if path not in known and os.path.basename(path) not in elsewhere and not path.startswith("examples/"):
            yield path, 1, "no CMakeLists.txt names this file"


def manuals():
    hypno = os.path.join(BUILD, "hypno")
    if not os.path.exists(hypno):
        yield "build/hypno", 1, "is missing: ./dev build"
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([hypno, "doc", folder], check=True)
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="utf-8") as f:
                fresh = f.read()
            path = "docs/" + name
            if not os.path.exists(os.path.join(ROOT, path)) or read(path) != fresh:
                yield path, 1, "is not what the tables say: ./dev doc"


# Faults of ours, which no file of the user's brings about.
NO_CASE = {"E0509", "E9999"}


def diagnostics():
    """Every code that some source file reports has a case, golden or of the command."""
    table = read("runtime/base/diag.def")
    source = "".join(read(f) for f in tracked(".c") if not f.startswith("tests/"))
    cases = "".join(read(f) for f in tracked(".err") + [f for f in tracked(".py") if f.startswith("tests/cli/")])
    yield from untested(table, source, cases)


def untested(table, source, cases):
    for line, text in enumerate(table.split("\n"), 1):
        m = re.match(r"DIAG\((\w+),", text)
        if m and re.search(rf"\b{m[1]}\b", source) and m[1] not in NO_CASE and not re.search(rf"\b{m[1]}\b", cases):
            yield "runtime/base/diag.def", line, f"no test sees {m[1]}: a case in tests/golden/check or tests/cli"


def symbols():
    """The runtime library needs neither LLVM nor libyaml, nor anything of the compiler's."""
    library = os.path.join(BUILD, "libhypno.a")
    if not os.path.exists(library):
        yield "libhypno.a", 1, "is missing: ./dev build"
        return
    out = subprocess.run(["nm", "-A", library], capture_output=True, text=True, check=True).stdout
    defined = {line.split()[-1] for line in out.split("\n") if re.search(r" [A-TV-Z] ", line)}
    for line in out.split("\n"):
        m = re.search(r"([\w.]+):\s+U (\S+)", line)
        if not m or m.group(2) in defined:
            continue
        if re.match(r"LLVM|yaml_|doc_|graph_|sx_|form_|model_|pass|nest_|kernel_|diag_E", m.group(2)):
            yield "libhypno.a", 1, f"{m.group(1)} needs {m.group(2)}"


def each_file(check, *endings):
    def run():
        for path in tracked(*endings):
            if not path.startswith("tests/fuzz/corpus/"):
                yield from check(path, read(path))
    return run


CODE = (".c", ".h", ".def", ".py", ".sh", ".cmake", ".txt", ".yaml", ".md", "dev", ".in")
CHECKS = [
    ("layers", each_file(layers, ".c", ".h")),
    ("names in codegen/", each_file(op_names, ".c", ".h")),
    ("sizes", each_file(sizes, ".c", ".h")),
    ("words", each_file(words, *CODE)),
    ("format", formatted),
    ("built", built),
    ("manuals", manuals),
    ("symbols", symbols),
    ("diagnostics", diagnostics),
]
SELF_TEST = [
    (layers, "ops/x.c", '#include "compiler/ir/graph.h"\n'),
    (layers, "runtime/x.c", '#include "compiler/front/doc.h"\n'),
    (layers, "runtime/base/x.c", '#include "runtime/plan.h"\n'),
    (layers, "codegen/loop/x.c", '#include "runtime/exec.h"\n'),
    (layers, "codegen/interp/x.c", "#include <llvm-c/Core.h>\n"),
    (op_names, "codegen/llvm/x.c", "case SX_FN_" + "tanh:\n"),
    (sizes, "ops/x.c", "int f(void)\n{\n" + "    ;\n" * 71 + "}\n"),
    (sizes, "ops/x.c", "\n" * 1000),
    (words, "ops/x.c", "/* TO" + "DO */\n"),
    (words, "ops/x.c", '"/wo' + 'rk/x"\n'),
    (lambda path, text: untested(text, "E0101", ""), "runtime/base/diag.def", "DIAG(E0101, DIAG_ERROR, ...\n"),
]


def self_test():
    missed = [(check.__name__, text[:40]) for check, path, text in SELF_TEST if not list(check(path, text))]
    for name, text in missed:
        print(f"lint: {name} does not see {text!r}")
    return 1 if missed else 0


def tidy():
    """clang-tidy over the files changed since main (or all, if none)."""
    changed = subprocess.run(["git", "diff", "--name-only", "main", "--", "*.c"], cwd=ROOT, capture_output=True,
                             text=True).stdout.split()
    files = [f for f in changed or tracked(".c") if os.path.isfile(os.path.join(ROOT, f))]
    return subprocess.run(["clang-tidy", "-p", BUILD, "--quiet"] + files, cwd=ROOT).returncode


def main():
    if "--self-test" in sys.argv:
        return self_test()
    if "--tidy" in sys.argv:
        return tidy()
    only = sys.argv[1:]
    bad = self_test()
    for name, check in CHECKS:
        if only and name not in only:
            continue
        for path, line, message in check():
            print(f"{path}:{line}: {message}")
            bad += 1
    long_files = [f for f in tracked(".c", ".h") if read(f).count("\n") > FILE_AIM]
    if long_files:
        print(f"lint: {len(long_files)} files have more than {FILE_AIM} lines (the cap is {FILE_CAP})")
    print(f"lint: {bad} finding{'' if bad == 1 else 's'}" if bad else "lint: clean")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
