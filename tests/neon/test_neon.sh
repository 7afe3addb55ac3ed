#!/bin/sh
# The tests of the kernels on 64-bit ARM: cross-compiled and emulated, with all extensions and, for the
# choice between sets, on a processor without products of bytes. Needs Debian's gcc-aarch64-linux-gnu,
# libc6-dev-arm64-cross and qemu-user; skipped, saying so, without them.
#   test_neon.sh BUILD_DIR
set -eu
cd "$(dirname "$0")/../.."
build=$1/tests/neon cc=aarch64-linux-gnu-gcc
for program in $cc qemu-aarch64; do
    command -v $program >/dev/null || { echo "skipped: no $program"; exit 77; }
done
mkdir -p "$build"
flags="-std=c11 -O2 -Wall -Wextra -Wpedantic -Wstrict-prototypes -Werror -D_GNU_SOURCE -DHB_HAVE_NEON
       -DHBAR_TEST_MODELS=\"\" -DHBAR_SHARED_DEFAULT=\"\" -Itests/neon -Iinclude -Isrc -Itests"
# shellcheck disable=SC2086
compile() { $cc $flags "$@"; }
compile -ffp-contract=fast -march=armv8.2-a+dotprod -c src/engine/kernels/neon.c -o "$build/neon.o"
compile -static -o "$build/test_kernels" tests/test_kernels.c src/engine/kernels/kernels.c \
    src/engine/kernels/portable.c src/engine/types.c src/engine/kv_cache.c src/base/buffer.c src/base/error.c src/base/half.c src/base/memory.c \
    src/base/rng.c src/base/text.c src/base/utf8.c "$build/neon.o" -lm
qemu-aarch64 -cpu max "$build/test_kernels" >"$build/log" || { cat "$build/log"; exit 1; }
! grep 'no neon' "$build/log"
qemu-aarch64 -cpu cortex-a53 "$build/test_kernels" | grep -q 'no neon'
cat "$build/log"
