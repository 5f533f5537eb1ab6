#!/usr/bin/env bash
# every fuzz target (or the one named) for ten minutes (FUZZ_SECONDS), from its corpus
set -euo pipefail
./dev long_packages
cmake --preset fuzz >/dev/null
ninja -C build-fuzz --quiet
words=build-fuzz/words.dict # of the language, from its generated manuals
grep -ohE '`[a-z_]+`' docs/keys.md docs/ops.md docs/language.md | tr '`' '"' | sort -u >"$words"
for target in build-fuzz/tests/${1:-*}_fuzz; do
    name=$(basename "$target" _fuzz)
    corpus=$(mktemp -d)
    seeds=("tests/fuzz/corpus/$name")
    [ "$name" = model ] && seeds+=(tests/golden/check tests/golden/elaborate)
    echo "-- $name"
    "$target" -max_total_time="${FUZZ_SECONDS:-600}" -verbosity=0 -print_final_stats=1 -timeout=60 \
        -dict="$words" -artifact_prefix="build-fuzz/$name-" "$corpus" "${seeds[@]}"
    rm -rf "$corpus"
done
