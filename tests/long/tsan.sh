#!/usr/bin/env bash
# the tests that use threads under the thread sanitizer
set -euo pipefail
./dev long_packages
cmake --preset tsan >/dev/null
ninja -C build-tsan --quiet
ctest --test-dir build-tsan --output-on-failure -j "$(nproc)" -LE codegen
