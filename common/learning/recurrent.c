/* CPU form of common/learning/recurrent.py: linear layers of a population, and what gates need, one network after another, in float32.
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
