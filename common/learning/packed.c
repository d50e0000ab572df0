/* CPU form of common/learning/recurrent.py, with recurrent.c's layers: GRUs over rows of which only those that are asked
 * for are there, one position in time after another. begin: where a position's rows begin, its last entry is their
 * number; prior: the row before in time, -1 where memory is empty. What is left of `rows` is filled with zeros.
 */
#include "recurrent.c"

static long widest(long steps, const int *begin) {
  long most = 0;
  for (long t = 0; t < steps; t++) most = begin[t + 1] - begin[t] > most ? begin[t + 1] - begin[t] : most;
  return most;
}

/* Memories along time. projected, rows of 3 * size: reset, update, candidate. What packed_backward needs is written too:
 * memory before every step, both gates, candidate, and the candidate's recurrent part. */
void packed_forward(long nets, long steps, long rows, long size, float **projected, float **w, float **b, int **begin,
                    int **prior, float **before, float **gates, float **candidate, float **last, float **after) {
  for (long net = 0; net < nets; net++) {
    float *recurrent = scratch(widest(steps, begin[net]) * 3 * size);
    for (long t = 0; t < steps; t++) {
      long at = begin[net][t], n = begin[net][t + 1] - at;
      float *h = before[net] + at * size;
      for (long i = 0; i < n; i++)
        if (prior[net][at + i] < 0)
          memset(h + i * size, 0, sizeof(float) * size);
        else
          memcpy(h + i * size, after[net] + prior[net][at + i] * size, sizeof(float) * size);
      gemm(h, size, 1, w[net], recurrent, n, 3 * size, size, b[net], 0, 0);
      for (long i = 0; i < n; i++) {
        const float *p = projected[net] + (at + i) * 3 * size, *q = recurrent + i * 3 * size;
        float *gate = gates[net] + (at + i) * 2 * size;
        for (long j = 0; j < size; j += LANES) {
          vec reset = sigmoid(load(p + j) + load(q + j)), update = sigmoid(load(p + size + j) + load(q + size + j));
          vec part = load(q + 2 * size + j), c = hyperbolic(load(p + 2 * size + j) + reset * part);
          store(gate + j, reset), store(gate + size + j, update);
          store(candidate[net] + (at + i) * size + j, c), store(last[net] + (at + i) * size + j, part);
          store(after[net] + (at + i) * size + j, c + update * (load(h + i * size + j) - c));
        }
      }
    }
    long count = begin[net][steps];
    memset(after[net] + count * size, 0, sizeof(float) * (rows - count) * size);
    free(recurrent);
  }
}

/* Gradients of packed_forward; those of w and b are added. */
void packed_backward(long nets, long steps, long rows, long size, float **w, int **begin, int **prior, float **before,
                     float **gates, float **candidate, float **last, float **upstream, float **gprojected, float **gw,
                     float **gb) {
  float *wt = scratch(3 * size * size), *flow = scratch(rows * size);
  for (long net = 0; net < nets; net++) {
    long most = widest(steps, begin[net]), count = begin[net][steps];
    float *g = scratch(most * 3 * size), *direct = scratch(most * size), *back = scratch(most * size);
    transpose(w[net], size, 3 * size, wt, size);
    memset(flow, 0, sizeof(float) * rows * size);
    for (long t = steps - 1; t >= 0; t--) {
      long at = begin[net][t], n = begin[net][t + 1] - at;
      for (long i = 0; i < n; i++) {
        const float *gate = gates[net] + (at + i) * 2 * size;
        float *out = gprojected[net] + (at + i) * 3 * size, *gi = g + i * 3 * size;
        for (long j = 0; j < size; j += LANES) {
          vec reset = load(gate + j), update = load(gate + size + j), c = load(candidate[net] + (at + i) * size + j);
          vec up = load(upstream[net] + (at + i) * size + j) + load(flow + (at + i) * size + j);
          vec to_c = (up - up * update) * (1 - c * c);
          vec to_update = up * (load(before[net] + (at + i) * size + j) - c) * (update - update * update);
          vec to_reset = to_c * load(last[net] + (at + i) * size + j) * (reset - reset * reset);
          store(out + j, to_reset), store(out + size + j, to_update), store(out + 2 * size + j, to_c);
          store(gi + j, to_reset), store(gi + size + j, to_update), store(gi + 2 * size + j, to_c * reset);
          store(direct + i * size + j, up * update);
        }
      }
      gemm(before[net] + at * size, 1, size, g, gw[net], size, 3 * size, n, 0, 1, 0);
      for (long j = 0; j < 3 * size; j += LANES) {
        vec total = load(gb[net] + j);
        for (long i = 0; i < n; i++) total += load(g + i * 3 * size + j);
        store(gb[net] + j, total);
      }
      gemm(g, 3 * size, 1, wt, back, n, size, 3 * size, 0, 0, 0);
      for (long i = 0; i < n; i++)
        if (prior[net][at + i] >= 0)
          for (long j = 0; j < size; j += LANES)
            store(flow + prior[net][at + i] * size + j, load(back + i * size + j) + load(direct + i * size + j));
    }
    memset(gprojected[net] + count * 3 * size, 0, sizeof(float) * (rows - count) * 3 * size);
    free(g), free(direct), free(back);
  }
  free(wt), free(flow);
}
