#!/usr/bin/env bash
# thousands of random graphs, kernels and plans: before = after each pass, interpreter = LLVM
set -euo pipefail
seed=${HYP_SEED:-$(date +%s)}
echo "seed $seed"
build/tests/graph_prop_test 5000 "$seed"
build/tests/differentiate_test 2000 "$seed"
for backend in interp llvm; do
    build/tests/plan_prop_test "${HYP_COUNT:-3000}" "$seed" "$backend"
done
for t in nest nest_llvm; do
    HYP_SEED=$seed HYP_COUNT=5000 "build/tests/${t}_test"
done
