#!/usr/bin/env bash
# built without LLVM: everything else works
set -euo pipefail
cmake --preset nollvm >/dev/null
ninja -C build-nollvm --quiet
ctest --test-dir build-nollvm --output-on-failure -j "$(nproc)"
