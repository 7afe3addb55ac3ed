#!/bin/sh
# Installs a build, then builds and runs a program against it, shared and static, through pkg-config.
#   test_install.sh BUILD_DIR MODEL CC CFLAGS
set -eu
build=$1 model=$2 cc=$3 cflags=$4
source=$(dirname "$0")/consumer.c
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
cmake --install "$build" --prefix "$root" >/dev/null
pc=$(find "$root" -name hbar.pc)
PKG_CONFIG_PATH=$(dirname "$pc")
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
export PKG_CONFIG_PATH LD_LIBRARY_PATH

# The file has the prefix of the build, so the test sets that of the installation.
flags="--define-variable=prefix=$root"
strict="-std=c11 -Wall -Wextra -Wpedantic -Werror"
# shellcheck disable=SC2046,SC2086
$cc $cflags $strict "$source" $(pkg-config $flags --cflags --libs hbar) -o "$root/shared"
# shellcheck disable=SC2046,SC2086
$cc $cflags $strict "$source" $(pkg-config $flags --cflags hbar) "$LD_LIBRARY_PATH/libhbar.a" \
    $(pkg-config $flags --static --libs hbar | sed 's/-lhbar//') -o "$root/static"

shared=$("$root/shared" "$model")
static=$("$root/static" "$model")
echo "$shared"
[ "$shared" = "$static" ] || { echo "the static program prints: $static"; exit 1; }
case $shared in *"[max tokens] $(pkg-config --modversion hbar)") ;; *) echo "unexpected"; exit 1 ;; esac
# The demo is found where it was installed.
[ "$("$root/bin/hbar" generate --quiet "What is the capital of France?")" = " Paris" ]
[ "$("$root/bin/hbar" --version)" = "hbar $(pkg-config --modversion hbar)" ]
ldd "$root/shared" | grep -q libhbar.so
! ldd "$root/static" | grep libhbar
# Each command has its man page, and the shells their completions, at the places where they look.
for page in hbar $("$root/bin/hbar" help | sed -n 's/^  \([a-z-]*\)  .*/hbar-\1/p'); do
    [ -s "$root/share/man/man1/$page.1" ] || { echo "no man page $page.1"; exit 1; }
done
[ -s "$root/share/man/man1/hbar-generate.1" ]
for file in bash-completion/completions/hbar zsh/site-functions/_hbar fish/vendor_completions.d/hbar.fish; do
    [ -s "$root/share/$file" ] || { echo "no $file"; exit 1; }
done
