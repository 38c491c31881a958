#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Open MPI over tcp under mino: mpirun and four ranks, messages and collectives, a rank that fails.

Run by ctest as apps.mpi; see harness.py for the arguments. The ranks talk by btl/tcp on the
device's loopback, never by shared memory.
"""

import harness
from harness import check_equal

PROGRAM = r"""
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char** argv) {
  int rank, size;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (argc > 1 && rank == 2) MPI_Abort(MPI_COMM_WORLD, 7);
  const int sizes[] = {1, 1000, 65536, 4000000};
  long errors = 0;
  for (int i = 0; i < 4; i++) {
    unsigned char *out = malloc(sizes[i]), *in = malloc(sizes[i]);
    for (int k = 0; k < sizes[i]; k++) out[k] = (unsigned char)(k * 31 + rank);
    MPI_Sendrecv(out, sizes[i], MPI_BYTE, (rank + 1) % size, i, in, sizes[i], MPI_BYTE,
                 (rank + size - 1) % size, i, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (int k = 0; k < sizes[i]; k++)
      errors += in[k] != (unsigned char)(k * 31 + (rank + size - 1) % size);
    free(out);
    free(in);
  }
  for (int i = 0; i < 200; i++) {
    long mine = rank + i, sum = 0;
    MPI_Allreduce(&mine, &sum, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
    errors += sum != (long)size * i + size * (size - 1) / 2;
  }
  MPI_Barrier(MPI_COMM_WORLD);
  long all = 0;
  MPI_Reduce(&errors, &all, 1, MPI_LONG, MPI_SUM, 0, MPI_COMM_WORLD);
  if (rank == 0) printf("%d ranks, %ld errors\n", size, all);
  MPI_Finalize();
  return 0;
}
"""


def main(t):
    source, program = t.scratch / "ring.c", t.scratch / "ring"
    source.write_text(PROGRAM)
    t.host("mpicc", "-O1", "-o", program, source, timeout_s=60).ok()
    env = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "HOME": str(t.scratch),
           "TMPDIR": str(t.scratch), "OMPI_MCA_pml": "ob1", "OMPI_MCA_btl": "tcp,self",
           "OMPI_MCA_btl_tcp_if_include": "lo", "OMPI_MCA_oob_tcp_if_include": "lo",
           "OMPI_MCA_mpi_yield_when_idle": "1", "OMPI_MCA_plm_rsh_agent": "/bin/false"}
    run = ["mpirun", "--oversubscribe", "-np", "4", program]
    got = t.offloaded(*run, env=env, timeout_s=60)
    check_equal(got.ok(), "4 ranks, 0 errors\n", "the ring")
    # What mpirun says of it comes at some runs only, without mino too.
    got = t.offloaded(*run, "abort", env=env, timeout_s=60)
    check_equal(got.status, 7, f"exit status after MPI_Abort: {got.error_text[-500:]}")


if __name__ == "__main__":
    harness.run(main, needs=["mpirun", "mpicc"])
