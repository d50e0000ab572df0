/* CPU form of papers/otc/proposals.py: BCQ's proposals and their values, one network after another.
 *
 * Proposals of one state share the state's part of every first layer, and a tile of rows goes through both hidden
 * layers without leaving the registers and the nearest cache. Widths of hidden layers are multiples of 16.
 */
#include <stdlib.h>
#include <string.h>

typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(64), aligned(4), may_alias));
typedef float half __attribute__((vector_size(32), aligned(4), may_alias));
typedef float quarter __attribute__((vector_size(16), aligned(4), may_alias));
#define LANES 16
#ifdef __AVX512F__
#define ROWS 6 /* 6 x 4 accumulators of 16 floats fill the 32 registers of AVX-512 */
#define VECS 4
#else
#define ROWS 2
#define VECS 2
#endif

static inline vec relu(vec z) { return (vec)((ivec)z & ~(ivec)(z <= 0)); } /* NaN stays NaN */
static inline vec load(const float *p) { return *(const vec *)p; }
static inline void store(float *p, vec v) { *(vec *)p = v; }

static inline float sum(vec v) {
  union { vec whole; half halves[2]; } a = {v};
  union { half whole; quarter quarters[2]; } b = {a.halves[0] + a.halves[1]};
  quarter q = b.quarters[0] + b.quarters[1];
  return (q[0] + q[1]) + (q[2] + q[3]);
}

/* Hyperbolic tangent in place: the rational minimax approximation of Eigen, error below 1e-6. */
static void hyperbolic_tangent(float *values, long count) {
  for (long i = 0; i < count; i++) {
    float x = values[i];
    x = x > 7.90531110763549805f ? 7.90531110763549805f : x < -7.90531110763549805f ? -7.90531110763549805f : x;
    float y = x * x;
    float p = -2.76076847742355e-16f;
    p = p * y + 2.00018790482477e-13f;
    p = p * y - 8.60467152213735e-11f;
    p = p * y + 5.12229709037114e-08f;
    p = p * y + 1.48572235717979e-05f;
    p = p * y + 6.37261928875436e-04f;
    p = p * y + 4.89352455891786e-03f;
    float q = 1.19825839466702e-06f;
    q = q * y + 1.18534705686654e-04f;
    q = q * y + 2.26843463243900e-03f;
    q = q * y + 4.89352518554385e-03f;
    values[i] = x * p / q;
  }
}

/* A network of two hidden layers, whose input is a state's part and a row's own part. */
typedef struct {
  const float *base_weight, *own_weight, *b1, *w2, *b2, *w3t, *b3;
  long base, own, width, out;
} Net;

/* h[row, column...] += inputs[row, size] of ROWS rows @ weight[size, width], some columns. */
static inline __attribute__((always_inline)) void first(const int vecs, const float **start, const float **inputs,
                                                        long size, const float *weight, long width, long column,
                                                        int rectify, float *h) {
  vec acc[ROWS][VECS];
  for (int i = 0; i < ROWS; i++)
    for (int v = 0; v < vecs; v++) acc[i][v] = load(start[i] + column + LANES * v);
  for (long c = 0; c < size; c++) {
    vec right[VECS];
    for (int v = 0; v < vecs; v++) right[v] = load(weight + c * width + column + LANES * v);
    for (int i = 0; i < ROWS; i++)
      for (int v = 0; v < vecs; v++) acc[i][v] += inputs[i][c] * right[v];
  }
  for (int i = 0; i < ROWS; i++)
    for (int v = 0; v < vecs; v++)
      store(h + i * width + column + LANES * v, rectify ? relu(acc[i][v]) : acc[i][v]);
}

/* h[ROWS, width] = start + inputs @ weight, then relu if rectify. */
static void layer(const float **start, const float **inputs, long size, const float *weight, long width, int rectify,
                  float *h) {
  long column = 0;
  for (; column + LANES * VECS <= width; column += LANES * VECS)
    first(VECS, start, inputs, size, weight, width, column, rectify, h);
  for (; column < width; column += LANES) first(1, start, inputs, size, weight, width, column, rectify, h);
}

/* bases[states, width] = b1 + states' part of the first layer; there is room for a whole tile at the end. */
static void first_of_states(const Net *net, const float *obs, long states, float *bases) {
  const float *start[ROWS], *inputs[ROWS];
  for (long s = 0; s < states; s += ROWS) {
    for (long i = 0; i < ROWS; i++) {
      start[i] = net->b1;
      inputs[i] = obs + (s + i < states ? s + i : s) * net->base; /* an incomplete tile repeats its first row */
    }
    layer(start, inputs, net->base, net->base_weight, net->width, 0, bases + s * net->width);
  }
}

/* Second and third layer of `rows` rows with first-layer activations h[rows, width], columns in panels. */
static inline __attribute__((always_inline)) void panel(const int rows, const int vecs, const Net *net, const float *h,
                                                        long column, float *out) {
  vec acc[ROWS][VECS];
  long width = net->width;
  for (int v = 0; v < vecs; v++)
    for (int i = 0; i < rows; i++) acc[i][v] = load(net->b2 + column + LANES * v);
  for (long k = 0; k < width; k++) {
    vec right[VECS];
    for (int v = 0; v < vecs; v++) right[v] = load(net->w2 + k * width + column + LANES * v);
    for (int i = 0; i < rows; i++)
      for (int v = 0; v < vecs; v++) acc[i][v] += h[i * width + k] * right[v];
  }
  for (long o = 0; o < net->out; o++)
    for (int i = 0; i < rows; i++) {
      vec total = {0};
      for (int v = 0; v < vecs; v++) total += relu(acc[i][v]) * load(net->w3t + o * width + column + LANES * v);
      out[i * net->out + o] += sum(total);
    }
}

/* out[count, out] of rows [count, own] in order of their states, `samples` of each. */
static void evaluate(const Net *net, const float *bases, const float *own, long count, long samples, float *h,
                     float *out) {
  long width = net->width;
  const float *start[ROWS], *inputs[ROWS];
  for (long done = 0; done < count; done += ROWS) {
    long rows = count - done < ROWS ? count - done : ROWS;
    for (long i = 0; i < ROWS; i++) {
      long row = done + (i < rows ? i : 0);
      start[i] = bases + row / samples * width;
      inputs[i] = own + row * net->own;
    }
    layer(start, inputs, net->own, net->own_weight, width, 1, h);
    float found[ROWS * net->out];
    for (long i = 0; i < ROWS; i++) memcpy(found + i * net->out, net->b3, sizeof(float) * net->out);
    long column = 0;
    for (; column + LANES * VECS <= width; column += LANES * VECS) panel(ROWS, VECS, net, h, column, found);
    for (; column < width; column += LANES) panel(ROWS, 1, net, h, column, found);
    memcpy(out + done * net->out, found, sizeof(float) * rows * net->out);
  }
}

static float *scratch(long floats) {
  void *p = 0;
  if (posix_memalign(&p, 64, sizeof(float) * (floats > 0 ? floats : 1))) abort();
  return p;
}

/* out[column, row] = w[row, column]. */
static void transpose(const float *w, long rows, long columns, float *out) {
  for (long i = 0; i < rows; i++)
    for (long j = 0; j < columns; j++) out[j * rows + i] = w[i * columns + j];
}

/* actions[net][states, samples, size] and q[net][heads, states, samples].
 *
 * weights[net]: w1 b1 w2 b2 w3 b3 of decoder (latent before state), actor and critic (state before action). */
void proposals(long nets, long states, long samples, long obs_size, long size, long latent, long width, long vae_width,
               long heads, double phi, float **obs, float **noise, float **dw1, float **db1, float **dw2, float **db2,
               float **dw3, float **db3, float **aw1, float **ab1, float **aw2, float **ab2, float **aw3, float **ab3,
               float **qw1, float **qb1, float **qw2, float **qb2, float **qw3, float **qb3, float **actions,
               float **q) {
  long count = states * samples, widest = width > vae_width ? width : vae_width;
  float *bases = scratch((states + ROWS) * widest), *h = scratch(ROWS * widest), *turned = scratch(size * widest);
  float *change = scratch(count * size);
  for (long net = 0; net < nets; net++) {
    float *action = actions[net];
    Net decoder = {dw1[net] + latent * vae_width, dw1[net], db1[net], dw2[net], db2[net], turned, db3[net],
                   obs_size, latent, vae_width, size};
    transpose(dw3[net], vae_width, size, turned);
    first_of_states(&decoder, obs[net], states, bases);
    evaluate(&decoder, bases, noise[net], count, samples, h, action);
    hyperbolic_tangent(action, count * size);

    Net actor = {aw1[net], aw1[net] + obs_size * width, ab1[net], aw2[net], ab2[net], turned, ab3[net],
                 obs_size, size, width, size};
    transpose(aw3[net], width, size, turned);
    first_of_states(&actor, obs[net], states, bases);
    evaluate(&actor, bases, action, count, samples, h, change);
    hyperbolic_tangent(change, count * size);
    for (long i = 0; i < count * size; i++) {
      float moved = action[i] + (float)phi * change[i];
      action[i] = moved > 1 ? 1 : moved < -1 ? -1 : moved;
    }

    for (long e = 0; e < heads; e++) {
      const float *w1 = qw1[net] + e * (obs_size + size) * width;
      Net critic = {w1, w1 + obs_size * width, qb1[net] + e * width, qw2[net] + e * width * width,
                    qb2[net] + e * width, qw3[net] + e * width, qb3[net] + e, obs_size, size, width, 1};
      first_of_states(&critic, obs[net], states, bases);
      evaluate(&critic, bases, action, count, samples, h, q[net] + e * count);
    }
  }
  free(bases), free(h), free(turned), free(change);
}
