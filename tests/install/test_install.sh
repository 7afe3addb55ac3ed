#!/bin/sh
# Installs a build into a staging folder, and builds and runs programs with what is there.
#   test_install.sh BUILD_DIR MODEL CC CFLAGS
set -eu
build=$1 model=$2 cc=$3 cflags=$4
here=$(dirname "$0")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
DESTDIR=$root cmake --install "$build" >/dev/null
pc=$(find "$root" -name hbar.pc)
prefix=$root$(pkg-config --variable=prefix "$pc")
PKG_CONFIG_PATH=$(dirname "$pc")
LD_LIBRARY_PATH=$(dirname "$PKG_CONFIG_PATH")
PKG_CONFIG_SYSROOT_DIR=$root CMAKE_PREFIX_PATH=$prefix
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR CMAKE_PREFIX_PATH LD_LIBRARY_PATH
sh "$here/consumers.sh" "$model" "$cc" "$cflags"

# The demo is found where it was installed.
hbar=$prefix/bin/hbar
[ "$("$hbar" generate --quiet "What is the capital of France?")" = " Paris" ]
[ "$("$hbar" --version)" = "hbar $(pkg-config --modversion hbar)" ]
# Each command has its man page, and the shells their completions, at the places where they look.
for page in hbar $("$hbar" help | sed -n 's/^  \([a-z-]*\)  .*/hbar-\1/p'); do
    [ -s "$prefix/share/man/man1/$page.1" ] || { echo "no man page $page.1"; exit 1; }
done
[ -s "$prefix/share/man/man1/hbar-generate.1" ]
for file in bash-completion/completions/hbar zsh/site-functions/_hbar fish/vendor_completions.d/hbar.fish; do
    [ -s "$prefix/share/$file" ] || { echo "no $file"; exit 1; }
done
