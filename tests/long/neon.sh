#!/usr/bin/env bash
# random kernels compiled for ARM with NEON and run under emulation, against the interpreter
set -euo pipefail
./dev long_packages
python3 tests/codegen/emulate.py build/tests/emulate_cases tests/codegen/emulate_run.c neon "${HYP_SEED:-$(date +%s)}" "${HYP_COUNT:-1000}"
