/* CPU form of common/learning/kernels.py: multilayer perceptrons of a population, one network after another, in float32.
 *
 * Every function takes the number of networks and, for each tensor, an array of pointers (one per network), so that
 * strided and broadcast populations need no copies. Inside a network rows are processed in blocks whose activations
 * stay in cache. Widths of hidden layers are multiples of 16. Plain C with GNU vector extensions (gcc or clang).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(64), aligned(4), may_alias));
#define LANES 16
#ifdef __AVX512F__
#define TILE_ROWS 6 /* 6 x 4 accumulators of 16 floats fill the 32 registers of AVX-512 */
#define TILE_VECS 4
#else
#define TILE_ROWS 2
#define TILE_VECS 2
#endif
#define BLOCK 240 /* rows of activations handled together */

static inline vec relu(vec z) { return (vec)((ivec)z & ~(ivec)(z <= 0)); } /* NaN stays NaN */
static inline vec load(const float *p) { return *(const vec *)p; }
static inline void store(float *p, vec v) { *(vec *)p = v; }
static inline float sum(vec v) {
  float total = 0;
  for (int i = 0; i < LANES; i++) total += v[i];
  return total;
}

/* c[rows, vecs * 16] = (accumulate ? c : bias or 0) + a @ b, with a(i, k) = a[i * a_row + k * a_col]. */
static inline __attribute__((always_inline)) void tile(const int rows, const int vecs, const float *a, long a_row,
                                                       long a_col, const float *b, long ldb, float *c, long ldc, long k,
                                                       const float *bias, int accumulate, int rectify) {
  vec acc[TILE_ROWS][TILE_VECS];
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vecs; j++)
      acc[i][j] = accumulate ? load(c + i * ldc + LANES * j) : bias ? load(bias + LANES * j) : (vec){0};
  for (long p = 0; p < k; p++) {
    vec right[TILE_VECS];
    for (int j = 0; j < vecs; j++) right[j] = load(b + p * ldb + LANES * j);
    for (int i = 0; i < rows; i++) {
      float left = a[i * a_row + p * a_col];
      for (int j = 0; j < vecs; j++) acc[i][j] += left * right[j];
    }
  }
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < vecs; j++) store(c + i * ldc + LANES * j, rectify ? relu(acc[i][j]) : acc[i][j]);
}

static inline __attribute__((always_inline)) void panel(const int vecs, const float *a, long a_row, long a_col,
                                                        const float *b, long ldb, float *c, long ldc, long m, long k,
                                                        const float *bias, int accumulate, int rectify) {
  long i = 0;
  for (; i + TILE_ROWS <= m; i += TILE_ROWS)
    tile(TILE_ROWS, vecs, a + i * a_row, a_row, a_col, b, ldb, c + i * ldc, ldc, k, bias, accumulate, rectify);
#define REST(rows) \
  case rows: tile(rows, vecs, a + i * a_row, a_row, a_col, b, ldb, c + i * ldc, ldc, k, bias, accumulate, rectify); break;
  switch (m - i) {
    REST(1)
#if TILE_ROWS > 2
    REST(2) REST(3) REST(4) REST(5)
#endif
  }
}

/* c[m, n] = (accumulate ? c : bias or 0) + a[m, k] @ b[k, n], then relu if rectify; n a multiple of 16. */
static void gemm(const float *a, long a_row, long a_col, const float *b, float *c, long m, long n, long k,
                 const float *bias, int accumulate, int rectify) {
  long j = 0;
  for (; j + LANES * TILE_VECS <= n; j += LANES * TILE_VECS)
    panel(TILE_VECS, a, a_row, a_col, b + j, n, c + j, n, m, k, bias ? bias + j : 0, accumulate, rectify);
  for (; j < n; j += LANES) panel(1, a, a_row, a_col, b + j, n, c + j, n, m, k, bias ? bias + j : 0, accumulate, rectify);
}

/* out[j * ld_out + i] = w[i * cols + j], in squares that stay in the cache. */
static void transpose(const float *w, long rows, long cols, float *out, long ld_out) {
  for (long top = 0; top < rows; top += LANES)
    for (long left = 0; left < cols; left += LANES)
      for (long j = left; j < left + LANES && j < cols; j++)
        for (long i = top; i < top + LANES && i < rows; i++) out[j * ld_out + i] = w[i * cols + j];
}

static float *scratch(long floats) {
  void *p = 0;
  if (posix_memalign(&p, 64, sizeof(float) * (floats > 0 ? floats : 1))) abort();
  return p;
}

/* g <- g where h > 0; bias_grad += column sums of g. */
static void mask(float *g, const float *h, long rows, long width, float *bias_grad) {
  for (long j = 0; j < width; j += LANES) {
    vec total = load(bias_grad + j);
    for (long r = 0; r < rows; r++) {
      vec v = (vec)((ivec)load(g + r * width + j) & (ivec)(load(h + r * width + j) > 0));
      store(g + r * width + j, v);
      total += v;
    }
    store(bias_grad + j, total);
  }
}

/* With keep, h1 and h2 receive all activations for mlp_backward; without, they are scratch of one block. */
void mlp_forward(long nets, long rows, long in, long width, long out, long keep, float **x, float **w1, float **b1,
                 float **w2, float **b2, float **w3, float **b3, float **h1, float **h2, float **y) {
  float *w3t = scratch(out * width);
  for (long net = 0; net < nets; net++) {
    transpose(w3[net], width, out, w3t, width);
    for (long r = 0; r < rows; r += BLOCK) {
      long n = rows - r < BLOCK ? rows - r : BLOCK;
      float *first = h1[net] + (keep ? r * width : 0), *second = h2[net] + (keep ? r * width : 0);
      gemm(x[net] + r * in, in, 1, w1[net], first, n, width, in, b1[net], 0, 1);
      gemm(first, width, 1, w2[net], second, n, width, width, b2[net], 0, 1);
      for (long i = 0; i < n; i++)
        for (long o = 0; o < out; o++) {
          vec total = {0};
          for (long j = 0; j < width; j += LANES) total += load(second + i * width + j) * load(w3t + o * width + j);
          y[net][(r + i) * out + o] = b3[net][o] + sum(total);
        }
    }
  }
  free(w3t);
}

/* Gradients of mlp_forward. Weight gradients are added to (w3's transposed, [out, width]); gx is written if wanted. */
void mlp_backward(long nets, long rows, long in, long width, long out, long want_weights, long want_x, float **x,
                  float **w1, float **w2, float **w3, float **h1, float **h2, float **gy, float **gw1, float **gb1,
                  float **gw2, float **gb2, float **gw3t, float **gx) {
  long padded = (in + LANES - 1) / LANES * LANES;
  float *w1t = scratch(width * padded), *w2t = scratch(width * width), *w3t = scratch(out * width);
  float *g1 = scratch(BLOCK * width), *g2 = scratch(BLOCK * width), *gin = scratch(BLOCK * padded);
  for (long net = 0; net < nets; net++) {
    memset(w1t, 0, sizeof(float) * width * padded);
    transpose(w1[net], in, width, w1t, padded);
    transpose(w2[net], width, width, w2t, width);
    transpose(w3[net], width, out, w3t, width);
    for (long r = 0; r < rows; r += BLOCK) {
      long n = rows - r < BLOCK ? rows - r : BLOCK;
      float *first = h1[net] + r * width, *second = h2[net] + r * width, *up = gy[net] + r * out;
      gemm(up, out, 1, w3t, g2, n, width, out, 0, 0, 0);
      if (want_weights) gemm(up, 1, out, second, gw3t[net], out, width, n, 0, 1, 0);
      mask(g2, second, n, width, gb2[net]);
      gemm(g2, width, 1, w2t, g1, n, width, width, 0, 0, 0);
      mask(g1, first, n, width, gb1[net]);
      if (want_weights) {
        gemm(first, 1, width, g2, gw2[net], width, width, n, 0, 1, 0);
        gemm(x[net] + r * in, 1, in, g1, gw1[net], in, width, n, 0, 1, 0);
      }
      if (want_x) {
        gemm(g1, width, 1, w1t, gin, n, padded, width, 0, 0, 0);
        for (long i = 0; i < n; i++) memcpy(gx[net] + (r + i) * in, gin + i * padded, sizeof(float) * in);
      }
    }
  }
  free(w1t), free(w2t), free(w3t), free(g1), free(g2), free(gin);
}

/* One Adam step of `members` blocks of `size` parameters, in one pass over memory. constants: both decay rates, the
 * root of the second moment's bias correction, epsilon; rate: each member's learning rate over the first's correction. */
void adam(long members, long size, const double *constants, const float *rate, const float *restrict grad,
          float *restrict mean, float *restrict square, float *restrict param) {
  const float share1 = 1 - constants[0], decay2 = constants[1], share2 = 1 - constants[1], scale = constants[2];
  const float eps = constants[3];
  for (long m = 0; m < members; m++)
    for (long i = m * size; i < (m + 1) * size; i++) {
      mean[i] += share1 * (grad[i] - mean[i]);
      square[i] = decay2 * square[i] + share2 * (grad[i] * grad[i]);
      param[i] -= mean[i] / (sqrtf(square[i]) / scale + eps) * rate[m];
    }
}

/* First layer at `samples` actions per observation: hidden = relu(base[i] + actions[i, k] @ weight). */
static void sample_hidden(const float *base, const float *actions, const float *weight, long states, long samples,
                          long size, long width, float *hidden) {
  for (long i = 0; i < states; i++)
    for (long k = 0; k < samples; k++) {
      const float *a = actions + (i * samples + k) * size;
      float *row = hidden + (i * samples + k) * width;
      for (long j = 0; j < width; j += LANES) {
        vec v = load(base + i * width + j);
        for (long c = 0; c < size; c++) v += a[c] * load(weight + c * width + j);
        store(row + j, relu(v));
      }
    }
}

static void q_values(const float *hidden, const float *weight, float bias, long rows, long width, float *q) {
  for (long r = 0; r < rows; r++) {
    vec total = {0};
    for (long j = 0; j < width; j += LANES) total += load(hidden + r * width + j) * load(weight + j);
    q[r] = bias + sum(total);
  }
}

/* q[i, k] of every observation and sampled action. */
void sample_values(long nets, long batch, long samples, long obs_size, long size, long width, float **obs,
                   float **actions, float **w1, float **b1, float **w2, float **b2, float **w3, float **b3, float **q) {
  long states = BLOCK / samples > 0 ? BLOCK / samples : 1, rows = states * samples;
  float *base = scratch(states * width), *h1 = scratch(rows * width), *h2 = scratch(rows * width);
  for (long net = 0; net < nets; net++)
    for (long s = 0; s < batch; s += states) {
      long n = batch - s < states ? batch - s : states;
      gemm(obs[net] + s * obs_size, obs_size, 1, w1[net], base, n, width, obs_size, b1[net], 0, 0);
      sample_hidden(base, actions[net] + s * samples * size, w1[net] + obs_size * width, n, samples, size, width, h1);
      gemm(h1, width, 1, w2[net], h2, n * samples, width, width, b2[net], 0, 1);
      q_values(h2, w3[net], *b3[net], n * samples, width, q[net] + s * samples);
    }
  free(base), free(h1), free(h2);
}

/* Gradients of what the output layer q = h2 @ w3 + b3 is made of; h2, after its activation, becomes the gradient before. */
static inline void to_hidden(float *h2, const float *q, const float *w3, float *gw3, float *gb2, long many, long width) {
  for (long j = 0; j < width; j += LANES) {
    vec weight_grad = load(gw3 + j), bias_grad = load(gb2 + j), weight = load(w3 + j);
    for (long r = 0; r < many; r++) {
      vec h = load(h2 + r * width + j);
      weight_grad += q[r] * h;
      vec g = (vec)((ivec)(q[r] * weight) & (ivec)(h > 0));
      bias_grad += g;
      store(h2 + r * width + j, g);
    }
    store(gw3 + j, weight_grad);
    store(gb2 + j, bias_grad);
  }
}

/* base[i] = the sum of g over the samples of an observation. */
static inline void sum_samples(const float *g, float *base, long n, long samples, long width) {
  for (long i = 0; i < n; i++)
    for (long j = 0; j < width; j += LANES) {
      vec v = {0};
      for (long k = 0; k < samples; k++) v += load(g + (i * samples + k) * width + j);
      store(base + i * width + j, v);
    }
}

/* value = mean over observations of logsumexp over samples of q, and its gradient added to the weight gradients. The
 * gradient to the output bias is 1. */
void mean_logsumexp(long nets, long batch, long samples, long obs_size, long size, long width, float **obs,
                    float **actions, float **w1, float **b1, float **w2, float **b2, float **w3, float **b3,
                    float **value, float **gw1, float **gb1, float **gw2, float **gb2, float **gw3) {
  long states = BLOCK / samples > 0 ? BLOCK / samples : 1, rows = states * samples;
  float *base = scratch(states * width), *h1 = scratch(rows * width), *h2 = scratch(rows * width);
  float *g1 = scratch(rows * width), *q = scratch(rows), *w2t = scratch(width * width);
  for (long net = 0; net < nets; net++) {
    double total = 0;
    transpose(w2[net], width, width, w2t, width);
    for (long s = 0; s < batch; s += states) {
      long n = batch - s < states ? batch - s : states;
      const float *o = obs[net] + s * obs_size, *a = actions[net] + s * samples * size;
      gemm(o, obs_size, 1, w1[net], base, n, width, obs_size, b1[net], 0, 0);
      sample_hidden(base, a, w1[net] + obs_size * width, n, samples, size, width, h1);
      gemm(h1, width, 1, w2[net], h2, n * samples, width, width, b2[net], 0, 1);
      q_values(h2, w3[net], *b3[net], n * samples, width, q);
      for (long i = 0; i < n; i++) {
        float *qi = q + i * samples, top = qi[0], norm = 0;
        for (long k = 1; k < samples; k++) top = qi[k] > top ? qi[k] : top;
        for (long k = 0; k < samples; k++) norm += qi[k] = expf(qi[k] - top);
        total += top + logf(norm);
        for (long k = 0; k < samples; k++) qi[k] /= norm * batch;
      }
      to_hidden(h2, q, w3[net], gw3[net], gb2[net], n * samples, width);
      gemm(h1, 1, width, h2, gw2[net], width, width, n * samples, 0, 1, 0);
      gemm(h2, width, 1, w2t, g1, n * samples, width, width, 0, 0, 0);
      mask(g1, h1, n * samples, width, gb1[net]);
      gemm(a, 1, size, g1, gw1[net] + obs_size * width, size, width, n * samples, 0, 1, 0);
      sum_samples(g1, base, n, samples, width); /* base's gradient */
      gemm(o, 1, obs_size, base, gw1[net], obs_size, width, n, 0, 1, 0);
    }
    *value[net] = total / batch;
  }
  free(base), free(h1), free(h2), free(g1), free(q), free(w2t);
}
