#!/bin/sh
# tools/abi finds what breaks programs: it compares a library with descriptions of itself that were changed.
#   test_abi.sh LIBRARY
set -eu
export HBAR_LIBRARY="$1"
cd "$(dirname "$0")/../.."
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# tools/abi must end with exit code $1 and print $2 for the file $3.
expect() {
    code=0
    said=$(tools/abi "$dir/$3") || code=$?
    [ "$code" = "$1" ] || { echo "$3: exit code $code instead of $1: $said"; exit 1; }
    case $said in *"$2"*) ;; *) echo "$3: '$2' is not in: $said"; exit 1 ;; esac
}

code=0
tools/abi --dump "$dir/same.abi" || code=$?
[ "$code" = 0 ] || exit "$code"
export HBAR_LIBRARY="$dir/same.abi" # it takes less time than reading the library again
expect 0 "compatible with" same.abi
sed "s/hb_generate_tokens/hb_gone/g" "$dir/same.abi" >"$dir/function.abi"
expect 1 "1 Removed function" function.abi
sed "s/<enumerator name='HB_KV_Q8_0' value='3'/<enumerator name='HB_KV_Q8_0' value='7'/" "$dir/same.abi" >"$dir/enum.abi"
expect 1 "'hb_kv_type::HB_KV_Q8_0' from value '7' to '3'" enum.abi
sed "s/soname='[^']*'/soname='libhbar.so.0.0'/" "$dir/same.abi" >"$dir/name.abi"
expect 0 "has libhbar.so.0.0, this is" name.abi
sed -e "/<function-decl name='hb_generate_tokens'/,/<\/function-decl>/d" -e "/<elf-symbol name='hb_generate_tokens'/d" \
    "$dir/same.abi" >"$dir/addition.abi"
expect 0 "compatible with" addition.abi
head -n 100 "$dir/same.abi" >"$dir/broken.abi"
expect 2 "is no complete description of an interface" broken.abi
expect 2 "none.abi: no such file" none.abi
(HBAR_LIBRARY="$dir/broken.abi" && expect 2 "broken.abi: no interface can be read" same.abi)

# Paths are relative to the caller's folder.
tool=$PWD/tools/abi
(cd "$dir" && export HBAR_LIBRARY=same.abi && "$tool" same.abi && "$tool" --dump again.abi && cmp same.abi again.abi) ||
    { echo "paths relative to another folder than the project's fail"; exit 1; }

# Other arguments that cannot be used.
refuse() {
    code=0
    tools/abi "$@" >"$dir/said" 2>&1 || code=$?
    [ "$code" = 2 ] || { echo "tools/abi $*: exit code $code instead of 2"; cat "$dir/said"; exit 1; }
}
refuse --dump
refuse --dump "$dir/none/x.abi"
refuse --other
refuse no-such-revision
grep -q "there is no revision 'no-such-revision'" "$dir/said"
