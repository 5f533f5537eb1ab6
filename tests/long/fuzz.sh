#!/usr/bin/env bash
# every fuzz target for ten minutes (FUZZ_SECONDS), from its corpus
set -euo pipefail
./dev long_packages
cmake --preset fuzz >/dev/null
ninja -C build-fuzz --quiet
for target in build-fuzz/tests/*_fuzz; do
    name=$(basename "$target" _fuzz)
    corpus=$(mktemp -d)
    echo "-- $name"
    "$target" -max_total_time="${FUZZ_SECONDS:-600}" -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="build-fuzz/$name-" "$corpus" "tests/fuzz/corpus/$name"
    rm -rf "$corpus"
done
