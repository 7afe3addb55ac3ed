#!/bin/sh
# debian/ names the version and the ABI's number of hbar.h.
set -eu
cd "$(dirname "$0")/../.."
number() { sed -n "s/^#define HB_VERSION_$1 //p" include/hbar.h; }
abi=$(number MAJOR).$(number MINOR)
version=$abi.$(number PATCH)
changelog=$(sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
[ "$changelog" = "$version" ] || { echo "debian/changelog has $changelog, hbar.h $version"; exit 1; }
libraries=$(grep -Eo 'libhbar[0-9][0-9.]*' debian/control | sort -u)
[ "$libraries" = "libhbar$abi" ] || { echo "debian/control has $libraries, but the ABI is $abi"; exit 1; }
[ -e "debian/libhbar$abi.install" ] || { echo "no debian/libhbar$abi.install"; exit 1; }
