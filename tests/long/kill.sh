#!/usr/bin/env bash
# kill -9 at 50 random moments: the resumed run equals the uninterrupted one (about a minute)
set -euo pipefail
python3 tests/fault/faults.py build/hypno kill --kills "${HYP_COUNT:-50}" --seed "${HYP_SEED:-$(date +%s)}"
