#!/bin/sh
# All C is formatted by .clang-format. Skipped where clang-format is not installed.
cd "$(dirname "$0")/.." || exit 1
command -v clang-format >/dev/null || { echo "skipped: no clang-format"; exit 77; }
find include src tests bench tools fuzz -name '*.[ch]' 2>/dev/null | xargs clang-format --dry-run -Werror
