/* CPU form of common/learning/recurrent.py: linear layers and GRUs of a population, one network after another, in float32.
 *
 * As kernels.c, whose matrix products it uses: every tensor is an array of pointers, one for each network, and a network's
 * result does not depend on its neighbours. Widths are multiples of 16; inputs need not be.
 */
#include "kernels.c"

/* e^x to float precision: 2^n times a polynomial of what is left, |rest| <= ln(2) / 2. */
static inline vec vexp(vec x) {
  x = (vec)(((ivec)x & ~(ivec)(x > 88)) | ((ivec)((vec){0} + 88) & (ivec)(x > 88)));
  x = (vec)(((ivec)x & ~(ivec)(x < -87)) | ((ivec)((vec){0} - 87) & (ivec)(x < -87)));
  vec shifted = x * 1.44269504f + 12582912.0f; /* adding 1.5 * 2^23 rounds to a whole number */
  ivec n = (ivec)shifted - 0x4B400000;
  vec whole = shifted - 12582912.0f, rest = x - whole * 0.693359375f + whole * 2.12194440e-4f;
  vec p = rest * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * rest + 8.3334519073e-3f;
  p = p * rest + 4.1665795894e-2f;
  p = p * rest + 1.6666665459e-1f;
  p = p * rest + 5.0000001201e-1f;
  return (vec)((ivec)(p * rest * rest + rest + 1) + (n << 23));
}
static inline vec sigmoid(vec x) { return 1 / (1 + vexp(-x)); }
static inline vec hyperbolic(vec x) { return 2 * sigmoid(2 * x) - 1; }

/* y = x @ w + b, then relu if rectify. */
void linear_forward(long nets, long rows, long in, long out, long rectify, float **x, float **w, float **b, float **y) {
  for (long net = 0; net < nets; net++)
    for (long r = 0; r < rows; r += BLOCK) {
      long n = rows - r < BLOCK ? rows - r : BLOCK;
      gemm(x[net] + r * in, in, 1, w[net], y[net] + r * out, n, out, in, b[net], 0, rectify);
    }
}

/* Gradients of linear_forward, those of w and b are added; gy is overwritten where y is rectified. */
void linear_backward(long nets, long rows, long in, long out, long rectify, long want_weights, long want_x, float **x,
                     float **w, float **y, float **gy, float **gw, float **gb, float **gx) {
  long padded = (in + LANES - 1) / LANES * LANES;
  float *wt = scratch(out * padded), *gin = scratch(BLOCK * padded);
  for (long net = 0; net < nets; net++) {
    memset(wt, 0, sizeof(float) * out * padded);
    if (want_x) transpose(w[net], in, out, wt, padded);
    for (long r = 0; r < rows; r += BLOCK) {
      long n = rows - r < BLOCK ? rows - r : BLOCK;
      float *up = gy[net] + r * out;
      if (rectify)
        mask(up, y[net] + r * out, n, out, gb[net]);
      else
        for (long j = 0; j < out; j += LANES) {
          vec total = load(gb[net] + j);
          for (long i = 0; i < n; i++) total += load(up + i * out + j);
          store(gb[net] + j, total);
        }
      if (want_weights) gemm(x[net] + r * in, 1, in, up, gw[net], in, out, n, 0, 1, 0);
      if (want_x) {
        gemm(up, out, 1, wt, gin, n, padded, out, 0, 0, 0);
        for (long i = 0; i < n; i++) memcpy(gx[net] + (r + i) * in, gin + i * padded, sizeof(float) * in);
      }
    }
  }
  free(wt), free(gin);
}

/* Memories along time. projected, rows of 3 * size: reset, update, candidate; kept: 0 where an episode begins. What
 * gru_backward needs is written too: memory before every step, both gates, candidate, and the candidate's recurrent part. */
void gru_forward(long nets, long steps, long rows, long size, float **projected, float **w, float **b, float **kept,
                 float **before, float **gates, float **candidate, float **last, float **after) {
  float *recurrent = scratch(rows * 3 * size);
  for (long net = 0; net < nets; net++)
    for (long t = 0; t < steps; t++) {
      long at = t * rows;
      float *h = before[net] + at * size;
      for (long i = 0; i < rows; i++)
        for (long j = 0; j < size; j += LANES) {
          vec v = {0};
          if (t) v = kept[net][at + i] * load(after[net] + (at - rows + i) * size + j);
          store(h + i * size + j, v);
        }
      gemm(h, size, 1, w[net], recurrent, rows, 3 * size, size, b[net], 0, 0);
      for (long i = 0; i < rows; i++) {
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
  free(recurrent);
}

/* Gradients of gru_forward; those of w and b are added. */
void gru_backward(long nets, long steps, long rows, long size, float **w, float **kept, float **before, float **gates,
                  float **candidate, float **last, float **upstream, float **gprojected, float **gw, float **gb) {
  float *wt = scratch(3 * size * size), *flow = scratch(rows * size), *direct = scratch(rows * size);
  float *g = scratch(rows * 3 * size);
  for (long net = 0; net < nets; net++) {
    transpose(w[net], size, 3 * size, wt, size);
    memset(flow, 0, sizeof(float) * rows * size);
    for (long t = steps - 1; t >= 0; t--) {
      long at = t * rows;
      for (long i = 0; i < rows; i++) {
        const float *gate = gates[net] + (at + i) * 2 * size;
        float *out = gprojected[net] + (at + i) * 3 * size, *gi = g + i * 3 * size;
        for (long j = 0; j < size; j += LANES) {
          vec reset = load(gate + j), update = load(gate + size + j), c = load(candidate[net] + (at + i) * size + j);
          vec up = load(upstream[net] + (at + i) * size + j) + load(flow + i * size + j);
          vec to_c = (up - up * update) * (1 - c * c);
          vec to_update = up * (load(before[net] + (at + i) * size + j) - c) * (update - update * update);
          vec to_reset = to_c * load(last[net] + (at + i) * size + j) * (reset - reset * reset);
          store(out + j, to_reset), store(out + size + j, to_update), store(out + 2 * size + j, to_c);
          store(gi + j, to_reset), store(gi + size + j, to_update), store(gi + 2 * size + j, to_c * reset);
          store(direct + i * size + j, up * update);
        }
      }
      gemm(before[net] + at * size, 1, size, g, gw[net], size, 3 * size, rows, 0, 1, 0);
      for (long j = 0; j < 3 * size; j += LANES) {
        vec total = load(gb[net] + j);
        for (long i = 0; i < rows; i++) total += load(g + i * 3 * size + j);
        store(gb[net] + j, total);
      }
      gemm(g, 3 * size, 1, wt, flow, rows, size, 3 * size, 0, 0, 0);
      for (long i = 0; i < rows; i++)
        for (long j = 0; j < size; j += LANES)
          store(flow + i * size + j, kept[net][at + i] * (load(flow + i * size + j) + load(direct + i * size + j)));
    }
  }
  free(wt), free(flow), free(direct), free(g);
}
