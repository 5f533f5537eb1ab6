#!/usr/bin/env python3
"""How long the compiler takes to the plan, by nodes: a chain of equal layers that is trained.

    deep.py HYPNO [LAYERS ...]     default: 36 71 143 286, which is about 1,250 to 10,000 nodes

A line each: layers, nodes after all passes, the best of five `hypno check` in milliseconds, microseconds a node.
--model LAYERS prints the model.  Standard library only.
"""
import os
import subprocess
import sys
import tempfile
import time


def model(layers):
    chain = "".join(f"    h{i + 1}: tanh(linear(h{i}, 16))\n" for i in range(layers))
    return f"""hypnograph: 1
name: deep
data:
  seen: {{source: digits, split: train, take: [0, 64], batch: 16}}
networks:
  f(x):
    h0: linear(x, 16)
{chain}    return: h{layers}
phases:
  wake:
    nodes:
      x:     flatten(seen.image)
      error: mean(f(x)**2)
    update:
      - f: error
optimizers:
  f: adam(lr=1e-3)
schedule: {{epochs: 1, cycle: [wake]}}
"""


def best_of(times, command):
    best = 1e9
    for _ in range(times):
        start = time.monotonic()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.monotonic() - start)
    return best


def main():
    if sys.argv[1] == "--model":
        sys.stdout.write(model(int(sys.argv[2])))
        return
    hypno = os.path.abspath(sys.argv[1])
    nothing = best_of(5, [hypno, "version"])
    for layers in map(int, sys.argv[2:] or ["36", "71", "143", "286"]):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "deep.yaml")
            with open(path, "w", encoding="utf-8") as f:
                f.write(model(layers))
            graph = subprocess.run([hypno, "show", path, "--stage", "graph"], check=True, capture_output=True, text=True)
            nodes = sum(" = " in line for line in graph.stdout.split("\n"))
            took = best_of(5, [hypno, "check", path]) - nothing
            print(f"{layers:6} layers {nodes:7} nodes {1e3 * took:8.1f} ms {1e6 * took / nodes:6.1f} us a node", flush=True)


if __name__ == "__main__":
    main()
