#!/bin/sh
# Installs the packages of build/package on a bare Debian 12, and runs their tests there (debian/tests).
#   tests/package/bare_root.sh [--base DIR] [--mirror URL]
# debootstrap makes the bare system in DIR, which is kept for later runs, or else in a temporary folder. The tests run
# in a copy. The mirror is the one that this machine's packages come from, unless one is given.
# Exits with 77 if debootstrap, root's rights, the packages or the mirror are missing.
set -eu
skip() { echo "skipped: $1"; exit 77; }
base='' mirror=''
while [ $# -gt 1 ]; do
    case $1 in
    --base) base=$(realpath -m "$2") ;;
    --mirror) mirror=$2 ;;
    *) break ;;
    esac
    shift 2
done
[ $# = 0 ] || { sed -n '3s/^# */usage: /p' "$0" >&2; exit 2; }
cd "$(dirname "$0")/../.."

command -v debootstrap >/dev/null || skip "no debootstrap; tools/setup --package installs it"
[ "$(id -u)" = 0 ] || skip "only root can make a bare system"
ls build/package/*.deb >/dev/null 2>&1 || skip "no packages; tools/package builds them"
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
[ -n "$base" ] || base=$work/base
if [ ! -e "$base" ]; then
    # shellcheck disable=SC2016
    [ -n "$mirror" ] || mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' \
        'Codename: bookworm' 'Component: main' | head -n 1)
    [ -n "$mirror" ] || skip "this machine's packages are not those of Debian 12; --mirror gives a mirror"
    /usr/lib/apt/apt-helper download-file "${mirror%/}/dists/bookworm/Release" "$work/Release" >/dev/null 2>&1 ||
        skip "the mirror $mirror cannot be reached"
    debootstrap --variant=minbase bookworm "$work/new" "$mirror" >"$work/log" 2>&1 || { tail "$work/log"; exit 1; }
    mv "$work/new" "$base"
fi
root=$work/root
cp -a "$base" "$root"
mkdir -p "$root/hbar/packages" "$root/hbar/tests"
cp build/package/*.deb "$root/hbar/packages"
cp -R debian "$root/hbar"
cp -R tests/install "$root/hbar/tests"

# The program finds its folder through /proc. What is mounted goes with the namespace.
cat >"$root/hbar/run" <<'END'
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
quietly() { "$@" >/hbar/log 2>&1 || { tail /hbar/log; exit 1; }; }
install() { quietly apt-get install -y -qq --no-install-recommends "$@"; }
mount -t proc proc /proc
cd /hbar/packages
quietly apt-get update
install ./hbar_*.deb ./libhbar[0-9]*.deb ./python3-hbar_*.deb
echo "== demo"
/hbar/debian/tests/demo
install ./libhbar-dev_*.deb gcc libc6-dev cmake ninja-build pkg-config
echo "== consumers"
/hbar/debian/tests/consumers
quietly apt-get purge -y -qq hbar 'libhbar*' python3-hbar
! find /usr -name hbar -o -name 'libhbar*' | grep .
END
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin ${http_proxy:+"http_proxy=$http_proxy"} \
    unshare --mount chroot "$root" sh /hbar/run
