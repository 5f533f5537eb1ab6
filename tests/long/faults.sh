#!/usr/bin/env bash
# memory and files failing at every n-th call of check, train and resume, through the command (about half an hour)
set -euo pipefail
[ -w /dev/shm ] && export TMPDIR=/dev/shm # every run is synced to its disk
python3 tests/fault/faults.py build/hypno alloc io --points "${HYP_COUNT:-0}" --jobs "$(nproc)"
