#!/usr/bin/env bash
# mnist-oscillation on real MNIST: agreement 65 % within 13 epochs for three seeds, 90 % by epoch 25
set -euo pipefail
data=${HYPNO_DATA:-../shared/data}
if ! build/hypno data mnist --data "$data" >/dev/null 2>&1; then
    echo "skipped: no MNIST in $data (set HYPNO_DATA)"
    exit 0
fi
model=graphs/papers/adversarial-wake-sleep/mnist-oscillation.yaml
out=${HYPNO_RUNS:-runs/learn}
for seed in 0 1 2; do
    epochs=13
    [ "$seed" = 0 ] && epochs=25
    rm -rf "$out-$seed"
    build/hypno train "$model" --data "$data" --seed "$seed" --epochs "$epochs" --out "$out-$seed" --quiet
    python3 - "$out-$seed" <<'PY'
import csv, sys
with open(sys.argv[1] + "/metrics.csv", encoding="utf-8") as f:
    course = [(int(r["epoch"]), float(r["value"])) for r in csv.DictReader(f) if r["name"] == "agreement"]
print("  agreement by epoch:", " ".join(f"{e}:{v:.3f}" for e, v in course))
by13 = max(v for e, v in course if e <= 13)
assert by13 >= 0.65, f"{by13} within 13 epochs"
if course[-1][0] >= 25:
    by25 = max(v for e, v in course if e <= 25)
    assert by25 >= 0.90, f"{by25} by epoch 25"
PY
done
