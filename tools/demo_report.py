#!/usr/bin/env python3
"""What `./dev demo` says at the end: what was learned, in plain words, and where to look."""
import csv
import glob
import json
import os
import sys


def course(run, name):
    """[(epoch, value)] of one metric."""
    with open(os.path.join(run, "metrics.csv"), encoding="utf-8") as f:
        return [(int(r["epoch"]), float(r["value"])) for r in csv.DictReader(f)
                if r["name"] == name and r["value"] not in ("", "null", "nan")]


def percent(x):
    return f"{100 * x:.0f} %"


def digits(run, values):
    agreement, error = course(run, "agreement"), course(run, "error")
    if len(agreement) > 1:
        print(f"""
What it learned. It never saw a label. It looks at a digit it has not met (wake), keeps 64 numbers, and draws the digit
again from them (oscillation). A classifier that was trained apart recognises the redrawn digit as the same class in
    {percent(agreement[-1][1])} of cases; before training it was {percent(agreement[0][1])} (chance is 10 %).""")
    if len(error) > 1:
        print(f"The mean squared error of the redrawn pixels fell from {error[0][1]:.3f} to {error[-1][1]:.3f}.")
    if isinstance(values.get("readout"), (int, float)):
        print(f"From those 64 numbers alone a linear readout tells the class of {percent(values['readout'])} of unseen digits.")
    if isinstance(values.get("overlap"), (int, float)):
        print(f"""Asleep, its neurons should fire in the same patterns as awake: the divergence between the two is {values['overlap']:.3f} nats""", end="")
        if isinstance(values.get("overlap.untrained"), (int, float)):
            print(f"""
({values['overlap.untrained']:.3f} with untrained weights""", end="")
            if isinstance(values.get("overlap.floor"), (int, float)):
                print(f"; {values['overlap.floor']:.3f} is as low as chance allows", end="")
            print(")", end="")
        print(".")


def late(run, name):
    """Mean of what was read in the last epoch."""
    points = course(run, name)
    last = [v for epoch, v in points if epoch == points[-1][0]]
    return sum(last) / len(last)


def shapes(run, _):
    error = course(run, "error")
    if len(error) > 1:
        print(f"""
What it learned. It looks at a coloured shape it has not met (wake), keeps 128 numbers, and draws it again from them. The mean
squared error of the pixels, which go from -1 to 1, fell from {error[0][1]:.3f} to {error[-1][1]:.3f}. Asleep, it replays its memories with parts
missing (NREM) and dreams of two at once (REM). In the last epoch its encoder gave what it saw a chance of {percent(late(run, "real"))} to be real,
what it dreamt {percent(late(run, "fake"))}.""")


def places(run, what_drawn):
    print("\nWhere to look:")
    for what, pattern in ((f"{what_drawn} redrawn beside the originals", "images/*rebuilt*"), ("dreams", "images/*dreams*"),
                          ("learning curves and other plots", "plots/*.svg"),
                          ("metrics", "metrics.csv"), ("checkpoint", "checkpoint.safetensors")):
        found = sorted(glob.glob(os.path.join(run, pattern)))
        if found:
            print(f"    {what + ':':<50}{found[-1]}" if len(found) == 1 or "plots" not in pattern
                  else f"    {what + ':':<50}{os.path.dirname(found[-1])}/")
    print(f"\nGo on for longer:  build/hypno train --resume {run} --epochs 20")
    print(f"Let it dream:      build/hypno dream {run} -n 64 -o dreams.png")


PARTS = (("digits", "Adversarial wake-sleep, the flagship, on drawn digits", digits),
         ("shapes", "Perturbed and adversarial dreaming on drawn shapes", shapes))


def main():
    for name, title, learned in PARTS:
        run = os.path.join(sys.argv[1], name)
        with open(os.path.join(run, "summary.json"), encoding="utf-8") as f:
            summary = json.load(f)
        print(f"\n== {title} ==\n{summary['cycles']} cycles of {1e3 * summary['seconds_per_cycle']:.1f} ms; the first one was done "
              f"{summary['first_cycle_seconds']:.1f} s after the start.")
        learned(run, summary["values"])
        places(run, name)


if __name__ == "__main__":
    main()
