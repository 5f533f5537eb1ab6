#!/usr/bin/env bash
# every test under the address and undefined-behaviour sanitizers
set -euo pipefail
./dev long_packages
cmake --preset asan >/dev/null
ninja -C build-asan --quiet
ctest --test-dir build-asan --output-on-failure -j "$(nproc)"
