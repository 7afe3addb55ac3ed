#!/bin/sh
# The tests of the kernels on 64-bit ARM: cross-compiled and emulated, on a processor with all extensions, on one
# without i8mm and on one without products of bytes. Needs Debian's gcc-aarch64-linux-gnu,
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
neon() { compile -ffp-contract=fast -fno-schedule-insns "$@" -c src/engine/kernels/neon.c; }
neon -march=armv8.2-a+dotprod -o "$build/neon.o" &
neon -march=armv8.2-a+dotprod+i8mm -DHB_I8MM -o "$build/neon_i8mm.o"
wait $!
compile -static -o "$build/test_kernels" tests/test_kernels.c src/engine/kernels/kernels.c \
    src/engine/kernels/portable.c src/engine/types.c src/engine/kv_cache.c src/base/buffer.c src/base/error.c src/base/half.c src/base/memory.c \
    src/base/rng.c src/base/text.c src/base/utf8.c "$build/neon.o" "$build/neon_i8mm.o" -lm

# Runs the tests on a processor, which must choose these kernels.
on() {
    qemu-aarch64 -cpu "$1" "$build/test_kernels" >"$build/$1.log" && grep -qx "chosen: $2" "$build/$1.log" && return
    cat "$build/$1.log"
    return 1
}
on max neon_i8mm &
all=$!
on neoverse-n1 neon
on cortex-a53 portable
wait $all
if grep 'no neon' "$build/max.log"; then exit 1; fi
cat "$build/max.log"
