/* CPU form of common/learning/attention.py: encoders of the past of a population, one network after another, float32.
 *
 * As kernels.c, whose matrix products it uses: every tensor is an array of pointers, one for each network, and a
 * network's result does not depend on its neighbours. Inside a network whole histories are handled in blocks of rows
 * (steps of a history) that stay in cache. The width H is a multiple of 16, the number of steps L is any; what belongs
 * to the L steps that look at a step is padded to `lanes`, the next multiple of 16.
 *
 * Products that nothing stands between are made one:
 *
 *   A = Wq Wk' / sqrt(H), c = Wk bq / sqrt(H)   step i attends to j by the softmax over j of (x_i A + c) x_j; what the
 *                                               keys' bias adds is the same for all j, and the softmax drops it
 *   (sum_j p_ij x_j) Wv + bv                    attended values, for weights p sum to one
 *   S = diag(w) Ws, t = Ws' b                   keys of soft attention are tanh(n S + t) of normed steps n, with the
 *                                               norm's weight w and bias b; the output is w * sum_j s_j n_j + b
 */
#include "recurrent.c"

#define ROWS 240 /* of a block, about */
#define EPS 1e-5f

typedef float half __attribute__((vector_size(32)));
typedef float quarter __attribute__((vector_size(16)));

/* The sum of a vector's numbers, in pairs. */
static inline float total(vec v) {
  union { vec whole; half parts[2]; } first = {v};
  union { half whole; quarter parts[2]; } second = {first.parts[0] + first.parts[1]};
  quarter q = second.parts[0] + second.parts[1];
  return (q[0] + q[2]) + (q[1] + q[3]);
}

static inline vec larger(vec a, vec b) {
  ivec first = a > b;
  return (vec)(((ivec)a & first) | ((ivec)b & ~first));
}

/* As gemm of kernels.c, also fast for n = 32. */
static void product(const float *a, long a_row, long a_col, const float *b, float *c, long m, long n, long k,
                    const float *bias, int accumulate) {
  long j = 0;
  for (; j + LANES * TILE_VECS <= n; j += LANES * TILE_VECS)
    panel(TILE_VECS, a, a_row, a_col, b + j, n, c + j, n, m, k, bias ? bias + j : 0, accumulate, 0);
  for (; j + LANES * 2 <= n; j += LANES * 2)
    panel(2, a, a_row, a_col, b + j, n, c + j, n, m, k, bias ? bias + j : 0, accumulate, 0);
  for (; j < n; j += LANES) panel(1, a, a_row, a_col, b + j, n, c + j, n, m, k, bias ? bias + j : 0, accumulate, 0);
}

/* sums[j] += sum over rows of g[row, j]. */
static void add_rows(const float *g, long rows, long size, float *sums) {
  for (long j = 0; j < size; j += LANES) {
    vec v = load(sums + j);
    for (long r = 0; r < rows; r++) v += load(g + r * size + j);
    store(sums + j, v);
  }
}

/* What the backward pass needs of a block of rows. */
typedef struct {
  float *x;       /* [rows, H] embedded steps */
  float *asked;   /* [rows, H] x A + c */
  float *normed;  /* [rows, H] */
  float *keys;    /* [rows, H] of soft attention, after tanh */
  float *weights; /* [rows, lanes] of each history: attention to a step (row) by all steps (lanes) */
  float *scale;   /* [rows] one over the standard deviation */
  float *share;   /* [rows] soft attention */
} Kept;

static Kept parts(float *kept, long rows, long size, long lanes) {
  Kept k = {.x = kept};
  k.asked = k.x + rows * size;
  k.normed = k.asked + rows * size;
  k.keys = k.normed + rows * size;
  k.weights = k.keys + rows * size;
  k.scale = k.weights + rows * lanes;
  k.share = k.scale + rows;
  return k;
}

/* A = Wq Wk' / sqrt(H) and c = Wk bq / sqrt(H). */
static void merge(const float *query_w, const float *query_b, const float *key_w, long size, float *merged,
                  float *shift) {
  float *key_t = scratch(size * size), factor = 1 / sqrtf(size);
  transpose(key_w, size, size, key_t, size);
  product(query_w, size, 1, key_t, merged, size, size, size, 0, 0);
  product(query_b, size, 1, key_t, shift, 1, size, size, 0, 0);
  for (long j = 0; j < size * size; j += LANES) store(merged + j, factor * load(merged + j));
  for (long j = 0; j < size; j += LANES) store(shift + j, factor * load(shift + j));
  free(key_t);
}

/* S = diag(w) Ws and t = Ws' b. */
static void merge_soft(const float *norm_w, const float *norm_b, const float *soft_w, long size, float *merged,
                       float *shift) {
  for (long i = 0; i < size; i++)
    for (long j = 0; j < size; j += LANES) store(merged + i * size + j, norm_w[i] * load(soft_w + i * size + j));
  product(norm_b, size, 1, soft_w, shift, 1, size, size, 0, 0);
}

/* The identity, [length, lanes], with which products transpose. */
static float *identity(long length, long lanes) {
  float *unit = scratch(length * lanes);
  memset(unit, 0, sizeof(float) * length * lanes);
  for (long i = 0; i < length; i++) unit[i * lanes + i] = 1;
  return unit;
}

/* Softmax over rows of scores [length, lanes], in place. */
static void softmax_rows(float *scores, long length, long lanes) {
  for (long i = 0; i < lanes; i += LANES) {
    vec top = load(scores + i), norm = {0};
    for (long j = 1; j < length; j++) top = larger(load(scores + j * lanes + i), top);
    for (long j = 0; j < length; j++) {
      vec e = vexp(load(scores + j * lanes + i) - top);
      norm += e;
      store(scores + j * lanes + i, e);
    }
    norm = 1 / norm;
    for (long j = 0; j < length; j++) store(scores + j * lanes + i, norm * load(scores + j * lanes + i));
  }
}

/* Softmax of a few numbers, in place. */
static void softmax(float *scores, long length) {
  float top = scores[0], norm = 0;
  for (long j = 1; j < length; j++) top = scores[j] > top ? scores[j] : top;
  for (long j = 0; j < length; j++) scores[j] -= top;
  for (long j = 0; j < length; j += LANES) {
    float buffer[LANES] = {0};
    long n = length - j < LANES ? length - j : LANES;
    memcpy(buffer, scores + j, sizeof(float) * n);
    store(buffer, vexp(load(buffer)));
    for (long i = 0; i < n; i++) norm += scores[j + i] = buffer[i];
  }
  for (long j = 0; j < length; j++) scores[j] /= norm;
}

/* normed and its scale of x + attended, row by row. */
static void normalise(const float *x, float *attended, long rows, long size, float *normed, float *scale) {
  for (long r = 0; r < rows; r++) {
    float *a = attended + r * size, *n = normed + r * size;
    vec first = {0}, second = {0};
    for (long j = 0; j < size; j += LANES) {
      vec v = load(a + j) + load(x + r * size + j);
      first += v;
      store(a + j, v);
    }
    float mean = total(first) / size;
    for (long j = 0; j < size; j += LANES) {
      vec v = load(a + j) - mean;
      second += v * v;
      store(n + j, v);
    }
    scale[r] = 1 / sqrtf(total(second) / size + EPS);
    for (long j = 0; j < size; j += LANES) store(n + j, scale[r] * load(n + j));
  }
}

/* Encoded histories y [batch, H]. With keep, kept [batch * L * (4 H + lanes + 2)] receives what attention_backward
 * needs; without, it is not used. positions: [L, H]. */
void attention_forward(long nets, long batch, long length, long inputs, long size, long keep, float **history,
                       float **positions, float **embed_w, float **embed_b, float **query_w, float **query_b,
                       float **key_w, float **value_w, float **value_b, float **norm_w, float **norm_b, float **soft_w,
                       float **soft_q, float **kept, float **y) {
  long lanes = (length + LANES - 1) / LANES * LANES, most = ROWS > length ? ROWS / length : 1, rows = most * length;
  long of_row = 4 * size + lanes + 2;
  float *merged = scratch(size * size), *shift = scratch(size), *start = scratch(length * size);
  float *soft = scratch(size * size), *soft_shift = scratch(size), *unit = identity(length, lanes);
  float *mixed = scratch(rows * size), *attended = scratch(rows * size), *asked_t = scratch(size * lanes);
  float *block = scratch(keep ? 0 : rows * of_row);
  for (long net = 0; net < nets; net++) {
    merge(query_w[net], query_b[net], key_w[net], size, merged, shift);
    merge_soft(norm_w[net], norm_b[net], soft_w[net], size, soft, soft_shift);
    for (long l = 0; l < length; l++)
      for (long j = 0; j < size; j += LANES)
        store(start + l * size + j, load(positions[net] + l * size + j) + load(embed_b[net] + j));
    for (long b = 0; b < batch; b += most) {
      long count = batch - b < most ? batch - b : most, n = count * length;
      Kept k = parts(keep ? kept[net] + b * length * of_row : block, n, size, lanes);
      for (long w = 0; w < count; w++) memcpy(k.x + w * length * size, start, sizeof(float) * length * size);
      product(history[net] + b * length * inputs, inputs, 1, embed_w[net], k.x, n, size, inputs, 0, 1);
      product(k.x, size, 1, merged, k.asked, n, size, size, shift, 0);
      for (long w = 0; w < count; w++) {
        float *x = k.x + w * length * size, *weights = k.weights + w * length * lanes;
        product(k.asked + w * length * size, 1, size, unit, asked_t, size, lanes, length, 0, 0);
        product(x, size, 1, asked_t, weights, length, lanes, size, 0, 0);
        softmax_rows(weights, length, lanes);
        product(weights, 1, lanes, x, mixed + w * length * size, length, size, length, 0, 0);
      }
      product(mixed, size, 1, value_w[net], attended, n, size, size, value_b[net], 0);
      normalise(k.x, attended, n, size, k.normed, k.scale);
      product(k.normed, size, 1, soft, k.keys, n, size, size, soft_shift, 0);
      for (long r = 0; r < n; r++) {
        vec score = {0};
        for (long j = 0; j < size; j += LANES) {
          vec v = hyperbolic(load(k.keys + r * size + j));
          store(k.keys + r * size + j, v);
          score += v * load(soft_q[net] + j);
        }
        k.share[r] = total(score);
      }
      for (long w = 0; w < count; w++) {
        softmax(k.share + w * length, length);
        for (long j = 0; j < size; j += LANES) {
          vec v = {0};
          for (long l = 0; l < length; l++) v += k.share[w * length + l] * load(k.normed + (w * length + l) * size + j);
          store(y[net] + (b + w) * size + j, v * load(norm_w[net] + j) + load(norm_b[net] + j));
        }
      }
    }
  }
  free(merged), free(shift), free(start), free(soft), free(soft_shift), free(unit), free(mixed), free(attended);
  free(asked_t), free(block);
}

/* Gradients of the soft attention of some histories: of normed without what goes through keys, and before keys' tanh.
 * gnorm_w and gnorm_b receive what does not go through keys either. */
static void soft_backward(const Kept *k, const float *norm_w, const float *soft_q, const float *up, long count,
                          long length, long size, float *to_share, float *g, float *gkeys, float *gsoft_q,
                          float *gnorm_w, float *gnorm_b) {
  for (long w = 0; w < count; w++, up += size) {
    const float *normed = k->normed + w * length * size, *keys = k->keys + w * length * size;
    const float *share = k->share + w * length;
    float *gw = g + w * length * size, *gk = gkeys + w * length * size, mean = 0;
    for (long l = 0; l < length; l++) { /* the norm's bias adds the same to all, and falls out */
      vec v = {0};
      for (long j = 0; j < size; j += LANES) v += load(up + j) * load(norm_w + j) * load(normed + l * size + j);
      to_share[l] = total(v);
      mean += share[l] * to_share[l];
    }
    for (long l = 0; l < length; l++) to_share[l] = share[l] * (to_share[l] - mean);
    for (long j = 0; j < size; j += LANES) {
      vec u = load(up + j), to_normed = u * load(norm_w + j), q = load(soft_q + j), pooled = {0}, to_q = {0};
      for (long l = 0; l < length; l++) {
        vec key = load(keys + l * size + j);
        store(gw + l * size + j, share[l] * to_normed);
        store(gk + l * size + j, to_share[l] * (q - q * key * key));
        pooled += share[l] * load(normed + l * size + j);
        to_q += to_share[l] * key;
      }
      store(gsoft_q + j, load(gsoft_q + j) + to_q);
      store(gnorm_w + j, load(gnorm_w + j) + u * pooled);
      store(gnorm_b + j, load(gnorm_b + j) + u);
    }
  }
}

/* The gradient g of what was normalised, of that of normed. */
static void norm_backward(const Kept *k, long rows, long size, float *g) {
  for (long r = 0; r < rows; r++) {
    float *gr = g + r * size, *n = k->normed + r * size;
    vec plain = {0}, along = {0};
    for (long j = 0; j < size; j += LANES) plain += load(gr + j), along += load(gr + j) * load(n + j);
    float mean = total(plain) / size, slope = total(along) / size;
    for (long j = 0; j < size; j += LANES) store(gr + j, k->scale[r] * (load(gr + j) - mean - slope * load(n + j)));
  }
}

/* weights' gradient, given in `to`, becomes the scores'; both [length, lanes], sums over rows. */
static void softmax_backward(const float *weights, long length, long lanes, float *to) {
  for (long i = 0; i < lanes; i += LANES) {
    vec mean = {0};
    for (long j = 0; j < length; j++) mean += load(weights + j * lanes + i) * load(to + j * lanes + i);
    for (long j = 0; j < length; j++)
      store(to + j * lanes + i, load(weights + j * lanes + i) * (load(to + j * lanes + i) - mean));
  }
}

/* gA and gc, of merged weights, go on to queries and keys. */
static void merge_backward(float *gmerged, float *gshift, const float *query_w, const float *query_b,
                           const float *key_w, long size, float *gquery_w, float *gquery_b, float *gkey_w) {
  float factor = 1 / sqrtf(size);
  for (long j = 0; j < size * size; j += LANES) store(gmerged + j, factor * load(gmerged + j));
  for (long j = 0; j < size; j += LANES) store(gshift + j, factor * load(gshift + j));
  product(gmerged, size, 1, key_w, gquery_w, size, size, size, 0, 1);
  product(gshift, size, 1, key_w, gquery_b, 1, size, size, 0, 1);
  product(gmerged, 1, size, query_w, gkey_w, size, size, size, 0, 1);
  product(gshift, 1, 1, query_b, gkey_w, size, size, 1, 0, 1);
}

/* gS and gt go on to the norm and the keys of soft attention. */
static void merge_soft_backward(const float *gmerged, const float *gshift, const float *norm_w, const float *norm_b,
                                const float *soft_w, long size, float *gnorm_w, float *gnorm_b, float *gsoft_w) {
  for (long i = 0; i < size; i++) {
    const float *g = gmerged + i * size, *w = soft_w + i * size;
    vec to_w = {0}, to_b = {0};
    for (long j = 0; j < size; j += LANES) {
      vec shift = load(gshift + j);
      to_w += load(g + j) * load(w + j);
      to_b += shift * load(w + j);
      store(gsoft_w + i * size + j, load(gsoft_w + i * size + j) + norm_w[i] * load(g + j) + norm_b[i] * shift);
    }
    gnorm_w[i] += total(to_w);
    gnorm_b[i] += total(to_b);
  }
}

/* Gradients of attention_forward in all weights; they are added. That of the keys' bias is zero. */
void attention_backward(long nets, long batch, long length, long inputs, long size, float **history, float **query_w,
                        float **query_b, float **key_w, float **value_w, float **norm_w, float **norm_b, float **soft_w,
                        float **soft_q, float **kept, float **gy, float **gembed_w, float **gembed_b, float **gquery_w,
                        float **gquery_b, float **gkey_w, float **gvalue_w, float **gvalue_b, float **gnorm_w,
                        float **gnorm_b, float **gsoft_w, float **gsoft_q) {
  long lanes = (length + LANES - 1) / LANES * LANES, most = ROWS > length ? ROWS / length : 1, rows = most * length;
  long of_row = 4 * size + lanes + 2, square = size * size;
  float *merged = scratch(square), *shift = scratch(size), *gmerged = scratch(square), *gshift = scratch(size);
  float *soft = scratch(square), *soft_shift = scratch(size), *gsoft = scratch(square), *gsoft_shift = scratch(size);
  float *merged_t = scratch(square), *value_t = scratch(square), *soft_t = scratch(square), *gshare = scratch(length);
  float *g = scratch(rows * size), *gkeys = scratch(rows * size), *mixed = scratch(rows * size);
  float *gmixed = scratch(rows * size), *gasked = scratch(rows * size), *gmixed_t = scratch(size * lanes);
  float *gscores = scratch(length * lanes), *unit = identity(length, lanes);
  for (long net = 0; net < nets; net++) {
    merge(query_w[net], query_b[net], key_w[net], size, merged, shift);
    merge_soft(norm_w[net], norm_b[net], soft_w[net], size, soft, soft_shift);
    transpose(merged, size, size, merged_t, size);
    transpose(value_w[net], size, size, value_t, size);
    transpose(soft, size, size, soft_t, size);
    memset(gmerged, 0, sizeof(float) * square), memset(gshift, 0, sizeof(float) * size);
    memset(gsoft, 0, sizeof(float) * square), memset(gsoft_shift, 0, sizeof(float) * size);
    for (long b = 0; b < batch; b += most) {
      long count = batch - b < most ? batch - b : most, n = count * length;
      Kept k = parts(kept[net] + b * length * of_row, n, size, lanes);
      soft_backward(&k, norm_w[net], soft_q[net], gy[net] + b * size, count, length, size, gshare, g, gkeys,
                    gsoft_q[net], gnorm_w[net], gnorm_b[net]);
      product(k.normed, 1, size, gkeys, gsoft, size, size, n, 0, 1);
      add_rows(gkeys, n, size, gsoft_shift);
      product(gkeys, size, 1, soft_t, g, n, size, size, 0, 1);
      norm_backward(&k, n, size, g);
      add_rows(g, n, size, gvalue_b[net]);
      for (long w = 0; w < count; w++)
        product(k.weights + w * length * lanes, 1, lanes, k.x + w * length * size, mixed + w * length * size, length,
                size, length, 0, 0);
      product(mixed, 1, size, g, gvalue_w[net], size, size, n, 0, 1);
      product(g, size, 1, value_t, gmixed, n, size, size, 0, 0);
      for (long w = 0; w < count; w++) { /* to g, which is x's own share, comes what goes through attention */
        long at = w * length * size;
        float *x = k.x + at, *weights = k.weights + w * length * lanes;
        product(gmixed + at, 1, size, unit, gmixed_t, size, lanes, length, 0, 0);
        product(x, size, 1, gmixed_t, gscores, length, lanes, size, 0, 0);
        softmax_backward(weights, length, lanes, gscores);
        product(gscores, 1, lanes, x, gasked + at, length, size, length, 0, 0);
        product(weights, lanes, 1, gmixed + at, g + at, length, size, length, 0, 1);
        product(gscores, lanes, 1, k.asked + at, g + at, length, size, length, 0, 1);
      }
      product(k.x, 1, size, gasked, gmerged, size, size, n, 0, 1);
      add_rows(gasked, n, size, gshift);
      product(gasked, size, 1, merged_t, g, n, size, size, 0, 1);
      product(history[net] + b * length * inputs, 1, inputs, g, gembed_w[net], inputs, size, n, 0, 1);
      add_rows(g, n, size, gembed_b[net]);
    }
    merge_backward(gmerged, gshift, query_w[net], query_b[net], key_w[net], size, gquery_w[net], gquery_b[net],
                   gkey_w[net]);
    merge_soft_backward(gsoft, gsoft_shift, norm_w[net], norm_b[net], soft_w[net], size, gnorm_w[net], gnorm_b[net],
                        gsoft_w[net]);
  }
  free(merged), free(shift), free(gmerged), free(gshift), free(soft), free(soft_shift), free(gsoft), free(gsoft_shift);
  free(merged_t), free(value_t), free(soft_t), free(gshare), free(g), free(gkeys), free(mixed), free(gmixed);
  free(gasked), free(gmixed_t), free(gscores), free(unit);
}
