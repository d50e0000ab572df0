#!/usr/bin/env bash
# Real Slurm: a table's programs as a job array, one of them killed and queued again in mid-run, and the same table run here; the
# seeds' scores must be the same bytes. Needs a Slurm that answers (on Debian: slurmctld, slurmd, munge; KillWait=2, as the job is
# to be killed before it ends by itself). Writes benchmarks/slurm.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1 OMZ_CHECKPOINT_SECONDS=1
python="${OMZ_VENV:-.venv}/bin/python -W ignore -m common.suite --preset quick --only omar/table2"
{
  sinfo --version
  OMZ_RESULTS="$work/local" $python --jobs 2 > /dev/null 2>&1
  echo "run here: $(ls "$work"/local/quick/omar/cells | wc -l) cells"
  OMZ_RESULTS="$work/slurm" $python --jobs 2 --executor slurm > "$work/out" 2>&1 &
  until job="$(squeue -h -r -t R -o %i | grep _2)"; do sleep 0.3; done
  until [ -n "$(ls "$work"/slurm/quick/omar/checkpoints/*.pt 2> /dev/null)" ] && [ "$(squeue -h -r -t R -o %M -j "$job")" != 0:00 ]; do sleep 0.3; done
  sleep 8
  scontrol requeue "$job"
  echo "queued again while it ran: job $job, checkpoint of $(stat -c %s "$work"/slurm/quick/omar/checkpoints/*.pt | head -1) bytes"
  wait $!
  grep programs: "$work/out"
  echo "starts of that job: $(grep -c 'Starting with' "$work"/slurm/slurm/*_2_0_log.out)"
  cmp "$work"/{local,slurm}/quick/omar/table2.seeds.csv && echo "omar/table2.seeds.csv: same bytes"
} | tee benchmarks/slurm.txt
