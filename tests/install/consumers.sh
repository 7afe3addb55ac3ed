#!/bin/sh
# Builds programs with an installed hbar: shared and static through pkg-config, and through CMake's find_package.
# Runs them, and prints what they print.
#   consumers.sh MODEL [CC [CFLAGS]]
# pkg-config, CMake and the dynamic linker must find hbar.
set -eu
model=$1 cc=${2:-cc} cflags=${3:-}
source=$(cd "$(dirname "$0")" && pwd)
version=$(pkg-config --modversion hbar)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

strict="-std=c11 -Wall -Wextra -Wpedantic -Werror"
# shellcheck disable=SC2046,SC2086
$cc $cflags $strict "$source/consumer.c" $(pkg-config --cflags --libs hbar) -o "$work/shared"
# shellcheck disable=SC2046,SC2086
$cc $cflags $strict "$source/consumer.c" $(pkg-config --cflags hbar) \
    $(pkg-config --static --libs hbar | sed 's/-lhbar/-l:libhbar.a/') -o "$work/static"
configure() {
    cmake -S "$source" -B "$work/$1" -G Ninja -DCMAKE_C_COMPILER="$cc" -DCMAKE_C_FLAGS="$cflags" -DHBAR_VERSION="$1"
}
configure "$version" >/dev/null
cmake --build "$work/$version" >/dev/null
! configure "${version%%.*}.999" >"$work/refused" 2>&1 || { echo "CMake takes another version"; exit 1; }
grep -q "hbar-config.cmake, version: $version" "$work/refused"

shared=$("$work/shared" "$model")
echo "$shared"
case $shared in *"[max tokens] $version") ;; *) echo "unexpected"; exit 1 ;; esac
for program in "$work/static" "$work/$version/consumer"; do
    printed=$("$program" "$model")
    [ "$shared" = "$printed" ] || { echo "$program prints: $printed"; exit 1; }
done
ldd "$work/shared" | grep -q libhbar.so
ldd "$work/$version/consumer" | grep -q libhbar.so
! ldd "$work/static" | grep libhbar
