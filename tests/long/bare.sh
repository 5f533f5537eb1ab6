#!/usr/bin/env bash
# a bare Debian 12 (debootstrap, as root) with git alone: clone, `./dev test`, `./dev demo`
set -euo pipefail
if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
    echo "skipped: needs root and debootstrap"
    exit 0
fi
root=$(mktemp -d)
cleanup() {
    umount "$root/proc" "$root/dev" 2>/dev/null || true
    rm -rf --one-file-system "$root"
}
trap cleanup EXIT
debootstrap --variant=minbase --include=git,ca-certificates bookworm "$root" >"$root.log" 2>&1 ||
    { tail -5 "$root.log"; exit 1; }
rm -f "$root.log" "$root/etc/apt/sources.list"
cp -r /etc/apt/sources.list* "$root/etc/apt/" 2>/dev/null || true
cp /etc/resolv.conf /etc/hosts "$root/etc/" 2>/dev/null || true
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
git clone -q . "$root/root/hypnograph"
inside() { # a command in the clone, timed; nothing of this environment goes in
    local start=$SECONDS
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CI="${CI:-}" \
        chroot "$root" bash -c "cd /root/hypnograph && $1" || { echo "-- $1: FAILED"; exit 1; }
    echo "-- $1: $((SECONDS - start)) s"
}
inside "./dev test"
inside "./dev test"
inside "./dev demo"
