#!/usr/bin/env bash
# the own functions over all 2^32 patterns: within 2 ulp
set -euo pipefail
exec build/tests/sx_ulp_test --full
