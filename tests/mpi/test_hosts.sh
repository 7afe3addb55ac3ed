#!/bin/sh
# hbar score by ranks on two hosts with TCP between them: two network namespaces, joined by a veth pair, each with a
# host name of its own. The run must be that of one process. Needs root. Exits with 77 where a tool is missing.
#   test_hosts.sh HBAR MODEL
set -eu
hbar=$1 model=$2
skip() { echo "skipped: $1"; exit 77; }
for tool in mpirun ip unshare python3; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
[ "$(id -u)" = 0 ] || skip "only root can make network namespaces"
a=hbar-a-$$ b=hbar-b-$$
dir=$(mktemp -d)
clean() { ip netns del "$a" 2>/dev/null || :; ip netns del "$b" 2>/dev/null || :; rm -rf "$dir"; }
trap clean EXIT
ip netns add "$a" 2>"$dir/why" && ip netns add "$b" || skip "no network namespaces: $(cat "$dir/why")"
ip link add "v0-$$" netns "$a" type veth peer name "v1-$$" netns "$b" || skip "no veth pairs"
ip -n "$a" addr add 10.199.7.1/24 dev "v0-$$"
ip -n "$b" addr add 10.199.7.2/24 dev "v1-$$"
for n in "$a" "$b"; do
    ip -n "$n" link set lo up
done
ip -n "$a" link set "v0-$$" up
ip -n "$b" link set "v1-$$" up

# What mpirun uses instead of ssh: AGENT HOST COMMAND...
cat >"$dir/agent" <<EOF
#!/bin/sh
shift
exec ip netns exec $b unshare --uts sh -c "hostname hostb; \$*"
EOF
chmod +x "$dir/agent"

python3 - "$dir/d.jsonl" <<'EOF'
import json, sys
with open(sys.argv[1], "w") as f:
    for i in range(100):
        print(json.dumps({"id": str(i), "prompt": f"Is {i} plus {i} equal to {2 * i + i % 2}?", "label": i % 2}), file=f)
EOF
export HBAR_KERNELS=portable OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_btl=tcp,self OMPI_MCA_pml=ob1 OMPI_MCA_btl_tcp_if_include=10.199.7.0/24
export OMPI_MCA_oob_tcp_if_include=10.199.7.0/24 OMPI_MCA_plm_rsh_agent="$dir/agent" OMPI_MCA_plm=rsh
score() { "$hbar" score --model "$model" --data "$dir/d.jsonl" -n 0 --max-tokens 5 --threads 1 "$@"; }
rows() {
    "$hbar" export --run "$1" --format jsonl | sed 's/"prompt_seconds":[^,}]*//; s/"decode_seconds":[^,}]*//'
}
score --run "$dir/one.db" --quiet
ip netns exec "$a" unshare --uts sh -c 'hostname hosta; exec "$@"' sh \
    mpirun --host 10.199.7.1:2,10.199.7.2:2 --bind-to none -n 4 \
    sh -c 'hostname >&2; exec "$@"' sh "$hbar" score --model "$model" --data "$dir/d.jsonl" -n 0 --max-tokens 5 \
    --threads 1 --run "$dir/two.db" 2>"$dir/log" || { cat "$dir/log"; exit 1; }
for host in hosta hostb; do
    [ "$(grep -c "^$host\$" "$dir/log")" = 2 ] || { echo "not two ranks on $host"; cat "$dir/log"; exit 1; }
done
rows "$dir/one.db" >"$dir/one"
rows "$dir/two.db" >"$dir/two"
cmp "$dir/one" "$dir/two"
sent=$(ip netns exec "$b" cat "/sys/class/net/v1-$$/statistics/tx_bytes")
echo "the run of 4 ranks on two hosts is that of one process; bytes sent by the second: $sent"
