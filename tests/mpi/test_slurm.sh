#!/bin/sh
# The job files of docs/scale-out.md in a real Slurm: slurmctld and two slurmd on this machine, each slurmd with a host
# name of its own. The array job and its merge, and the MPI job, must give the run of one process. Needs root.
# Exits with 77 where a tool is missing.
#   test_slurm.sh HBAR MODEL
set -eu
hbar=$1 model=$2
here=$(cd "$(dirname "$0")" && pwd)
skip() { echo "skipped: $1"; exit 77; }
for tool in mpirun slurmctld slurmd sbatch munged unshare python3; do
    command -v "$tool" >/dev/null || skip "$tool is not installed"
done
[ "$(id -u)" = 0 ] || skip "only root can start Slurm"
dir=$(mktemp -d /tmp/hbar-slurm-XXXXXX)
pids=
clean() {
    status=$?
    for pid in $pids; do kill "$pid" 2>/dev/null || :; done
    sleep 1
    for pid in $pids; do kill -9 "$pid" 2>/dev/null || :; done
    if [ "$status" = 0 ] || [ "$status" = 77 ]; then rm -rf "$dir"; else echo "kept for a look: $dir"; fi
}
trap clean EXIT
port=$((20000 + $$ % 10000))
mkdir "$dir/munge" "$dir/state" "$dir/n1" "$dir/n2" "$dir/work" "$dir/work/logs" "$dir/work/runs"
chmod 755 "$dir" "$dir/munge"
dd if=/dev/urandom of="$dir/munge/key" bs=128 count=1 2>/dev/null
chmod 600 "$dir/munge/key"
start() { "$@" >>"$dir/daemons.log" 2>&1 & pids="$! $pids"; }
start munged --foreground --force --key-file "$dir/munge/key" --socket "$dir/munge/socket" \
    --pid-file "$dir/munge/pid" --log-file "$dir/munge/log" --seed-file "$dir/munge/seed"
cat >"$dir/slurm.conf" <<EOF
ClusterName=hbar
SlurmctldHost=$(hostname)(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/%n
SlurmctldPidFile=$dir/ctld.pid
SlurmdPidFile=$dir/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,batch_sched_delay=0
MpiDefault=none
ReturnToService=2
SlurmctldTimeout=300
SlurmdTimeout=300
NodeName=n1 NodeHostname=n1 NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=2 State=UNKNOWN
NodeName=n2 NodeHostname=n2 NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=2 State=UNKNOWN
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
EOF
echo "CgroupPlugin=autodetect" >"$dir/cgroup.conf"
export SLURM_CONF="$dir/slurm.conf"
wait_for() { # SECONDS COMMAND...
    limit=$1; shift
    until "$@" >/dev/null 2>&1; do
        limit=$((limit - 1))
        [ "$limit" -gt 0 ] || { echo "gave up waiting for: $*"; tail -n 40 "$dir/daemons.log"; exit 1; }
        sleep 1
    done
}
wait_for 20 test -S "$dir/munge/socket"
start slurmctld -D -f "$dir/slurm.conf"
for node in n1 n2; do
    start unshare --uts sh -c "hostname $node; exec slurmd -D -N $node -f $dir/slurm.conf"
done
idle() { [ "$(sinfo -h -N -t idle -o %n | wc -l)" = 2 ]; }
wait_for 60 idle

cd "$dir/work"
ln -s "$model" M.gguf
ln -s "$hbar" hbar
python3 - <<'EOF'
import json
with open("D.jsonl", "w") as f:
    for i in range(60):
        print(json.dumps({"id": str(i), "prompt": f"Is {i} plus {i} equal to {2 * i + i % 2}?", "label": i % 2}), file=f)
EOF
export HBAR_KERNELS=portable PATH="$dir/work:$PATH"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Both nodes have the addresses of this machine.
export OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo OMPI_MCA_pml=ob1 OMPI_MCA_btl=tcp,self
python3 "$here/job_files.py" "$here/../../docs/scale-out.md" "$dir/work"
finished() { [ -z "$(squeue -h)" ]; }
rows() {
    hbar export --run "$1" --format jsonl | sed 's/"prompt_seconds":[^,}]*//; s/"decode_seconds":[^,}]*//'
}
show_logs() { tail -n 30 "$dir/daemons.log" logs/* slurm-* 2>/dev/null; exit 1; }
hbar score --model M.gguf --data D.jsonl -n 0 --threads 1 --run one.db --quiet
rows one.db >one.txt

job=$(sbatch --parsable score.sbatch)
sbatch --dependency=afterok:"$job" --wrap 'hbar merge runs/*.db -o all.db'
wait_for 120 finished
[ -f all.db ] || { echo "the array job made no run"; show_logs; }
rows all.db >all.txt
cmp one.txt all.txt
echo "the array job's merged run is that of one process"

sbatch --parsable mpi.sbatch
wait_for 120 finished
[ -f mpi.db ] || { echo "the MPI job made no run"; show_logs; }
rows mpi.db >mpi.txt
cmp one.txt mpi.txt || show_logs
grep -h "samples scored" logs/mpi-*
echo "the MPI job's run is that of one process"
