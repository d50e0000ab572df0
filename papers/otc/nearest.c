/* CPU form of papers/otc/nearest.py: nearest neighbours in a pool, one network after another. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(64), aligned(4), may_alias));
typedef float half __attribute__((vector_size(32), aligned(4), may_alias));
typedef int ihalf __attribute__((vector_size(32), aligned(4), may_alias));
typedef float quarter __attribute__((vector_size(16), aligned(4), may_alias));
typedef int iquarter __attribute__((vector_size(16), aligned(4), may_alias));
#define LANES 16
#define ROWS 4   /* share each load of a candidate */
#define TRIED 16 /* rows that show whether a pool can be left out */
#define DEARER 2 /* a block looked at by one row costs so many times what it does by ROWS */
#define FAR 1e30f
#define DIGITS 2048 /* of 11 bits: three of them are a word */

static inline vec load(const float *p) { return *(const vec *)p; }
static inline vec absolute(vec v) { return (vec)((ivec)v & 0x7fffffff); }
static inline vec smaller(vec a, vec b) {
  ivec less = (ivec)(a < b);
  return (vec)(((ivec)a & less) | ((ivec)b & ~less));
}

static inline float minimum(vec v) {
  union { vec whole; half halves[2]; } a = {v};
  ihalf less = (ihalf)(a.halves[0] < a.halves[1]);
  half h = (half)(((ihalf)a.halves[0] & less) | ((ihalf)a.halves[1] & ~less));
  union { half whole; quarter quarters[2]; } b = {h};
  iquarter fewer = (iquarter)(b.quarters[0] < b.quarters[1]);
  quarter q = (quarter)(((iquarter)b.quarters[0] & fewer) | ((iquarter)b.quarters[1] & ~fewer));
  float even = q[0] < q[2] ? q[0] : q[2], odd = q[1] < q[3] ? q[1] : q[3];
  return even < odd ? even : odd;
}

static void *memory(long bytes) {
  void *p = 0;
  if (posix_memalign(&p, 64, bytes > 0 ? bytes : 1)) abort();
  return p;
}

/* A word that orders as the number does, -0 as 0 and whatever is no number last. */
static inline uint32_t ordered(float number) {
  union { float number; uint32_t bits; } u = {number + 0.0f};
  if (number != number) return 0xffffffffu;
  return u.bits & 0x80000000u ? ~u.bits : u.bits | 0x80000000u;
}

typedef struct {
  uint32_t *keys, *spare_keys;
  int32_t *order, *spare_order;
} Sorting;

static Sorting sorting(long count) {
  Sorting s = {memory(4 * count), memory(4 * count), memory(4 * count), memory(4 * count)};
  return s;
}

static void release(Sorting *s) { free(s->keys), free(s->spare_keys), free(s->order), free(s->spare_order); }

/* s->order: places of `count` numbers in ascending order, equal ones as they stood. */
static void sort(Sorting *s, const float *numbers, long stride, long count) {
  static __thread uint32_t starts[3][DIGITS];
  memset(starts, 0, sizeof(starts));
  for (long i = 0; i < count; i++) {
    uint32_t key = s->keys[i] = ordered(numbers[i * stride]);
    s->order[i] = i;
    for (int d = 0; d < 3; d++) starts[d][key >> 11 * d & (DIGITS - 1)]++;
  }
  for (int d = 0; d < 3; d++) {
    uint32_t total = 0;
    for (long digit = 0; digit < DIGITS; digit++) {
      uint32_t have = starts[d][digit];
      starts[d][digit] = total;
      total += have;
    }
    for (long i = 0; i < count; i++) {
      uint32_t place = starts[d][s->keys[i] >> 11 * d & (DIGITS - 1)]++;
      s->spare_keys[place] = s->keys[i];
      s->spare_order[place] = s->order[i];
    }
    Sorting turned = {s->spare_keys, s->keys, s->spare_order, s->order};
    *s = turned;
  }
}

/* First place in ascending numbers that is not below `value`. */
static long not_below(const float *numbers, long count, float value) {
  const float *low = numbers;
  long left = count;
  while (left > 1) { /* without branches that depend on the numbers */
    long middle = left / 2;
    low += low[middle - 1] < value ? middle : 0;
    left -= middle;
  }
  return low - numbers + (count && *low < value);
}

/* The axis along which the pool is widest. */
static long widest(const float *pool, long count, long size) {
  long best = 0;
  float most = -1;
  for (long e = 0; e < size; e++) {
    float low = pool[e], high = pool[e];
    for (long j = 1; j < count; j++) {
      float x = pool[j * size + e];
      low = x < low ? x : low;
      high = x > high ? x : high;
    }
    if (high - low > most) most = high - low, best = e;
  }
  return best;
}

/* A pool sorted along one axis; candidate j's number e is turned[(j / LANES * size + e) * LANES + j % LANES]. */
typedef struct {
  long blocks, size, axis;
  float *along, *turned;
} Pool;

/* Smallest distance of a row, from its own place outwards, until the next block is farther away along the axis alone
 * than the nearest so far: sums of numbers that are not negative never round to less than one of them, so it is exact.
 * Adds the blocks looked at to `seen`. */
static float outwards(const Pool *pool, const float *row, long *seen) {
  long size = pool->size, right = not_below(pool->along, pool->blocks * LANES, row[pool->axis]) / LANES, left;
  right = right < pool->blocks ? right : pool->blocks - 1;
  left = right - 1;
  float least = 2 * FAR;
  while (1) {
    float to_left = left >= 0 ? row[pool->axis] - pool->along[left * LANES + LANES - 1] : 4 * FAR;
    float to_right = right < pool->blocks ? pool->along[right * LANES] - row[pool->axis] : 4 * FAR;
    if (!(to_left <= least) && !(to_right <= least)) return least;
    long block = to_left < to_right ? left-- : right++; /* the nearer of both sides comes first */
    const float *candidates = pool->turned + block * size * LANES;
    vec total = {0};
    ++*seen;
    for (long e = 0; e < size / 2; e++) total += absolute(load(candidates + e * LANES) - row[e]);
    if (minimum(total) > least) continue;
    for (long e = size / 2; e < size; e++) total += absolute(load(candidates + e * LANES) - row[e]);
    float found = minimum(total);
    least = found < least ? found : least;
  }
}

/* Smallest distances of ROWS rows, by looking at the whole pool. */
static void everywhere(const Pool *pool, const float **rows, float *out) {
  vec best[ROWS];
  for (int r = 0; r < ROWS; r++) best[r] = (vec){0} + 2 * FAR;
  for (long block = 0; block < pool->blocks; block++) {
    vec total[ROWS];
    for (int r = 0; r < ROWS; r++) total[r] = (vec){0};
    for (long e = 0; e < pool->size; e++) {
      vec candidates = load(pool->turned + (block * pool->size + e) * LANES);
      for (int r = 0; r < ROWS; r++) total[r] += absolute(candidates - rows[r][e]);
    }
    for (int r = 0; r < ROWS; r++) best[r] = smaller(total[r], best[r]);
  }
  for (int r = 0; r < ROWS; r++) out[r] = minimum(best[r]);
}

/* out[net][i] = min_j sum_e |rows[net][i, e] - pool[net][j, e]|; rows [count, size], pool [pool_count, size].
 *
 * Embeddings have few directions, so most of a pool sorted along its widest axis can be left out; where the first rows
 * show that it cannot, the others look at all of it. Both ways find the same number to the bit. */
void nearest_l1(long nets, long count, long pool_count, long size, float **rows, float **pool, float **out) {
  long blocks = (pool_count + LANES - 1) / LANES, padded = blocks * LANES;
  Pool p = {blocks, size, 0, memory(4 * padded), memory(4 * padded * size)};
  Sorting s = sorting(pool_count);
  for (long net = 0; net < nets; net++) {
    p.axis = widest(pool[net], pool_count, size);
    sort(&s, pool[net] + p.axis, size, pool_count);
    for (long j = 0; j < padded; j++) {
      const float *from = j < pool_count ? pool[net] + s.order[j] * size : 0;
      p.along[j] = from ? from[p.axis] : FAR;
      for (long e = 0; e < size; e++) p.turned[(j / LANES * size + e) * LANES + j % LANES] = from ? from[e] : FAR;
    }
    long i = 0, seen = 0;
    for (; i < count && (i < TRIED || seen * DEARER < i * blocks); i++)
      out[net][i] = outwards(&p, rows[net] + i * size, &seen);
    for (; i < count; i += ROWS) {
      const float *some[ROWS];
      float found[ROWS];
      for (long r = 0; r < ROWS; r++) some[r] = rows[net] + (i + r < count ? i + r : i) * size;
      everywhere(&p, some, found);
      for (long r = 0; r < ROWS && i + r < count; r++) out[net][i + r] = found[r];
    }
  }
  free(p.along), free(p.turned), release(&s);
}

/* match[net][i]: place in pool[net] of the number closest to values[net][i]; ties[net][i] in [0, 1) picks among equally
 * close ones. Equal ones count in order of their places, smaller numbers before larger ones. */
void nearest_value(long nets, long count, long pool_count, float **values, float **pool, float **ties, float **match) {
  Sorting s = sorting(pool_count);
  float *sorted = memory(4 * pool_count);
  for (long net = 0; net < nets; net++) {
    sort(&s, pool[net], 1, pool_count);
    for (long j = 0; j < pool_count; j++) sorted[j] = pool[net][s.order[j]];
    int64_t *found = (int64_t *)match[net];
    for (long i = 0; i < count; i++) {
      float value = values[net][i];
      long right = not_below(sorted, pool_count, value);
      right = right < pool_count ? right : pool_count - 1;
      long left = right > 0 ? right - 1 : 0;
      float below = sorted[left], above = sorted[right];
      float to_below = value > below ? value - below : below - value;
      float to_above = above > value ? above - value : value - above;
      long from_below = 0, of_below = 0, from_above = 0, of_above = 0;
      if (to_below <= to_above) {
        from_below = not_below(sorted, pool_count, below);
        while (from_below + of_below < pool_count && sorted[from_below + of_below] == below) of_below++;
      }
      if (to_above <= to_below && above != below) {
        from_above = not_below(sorted, pool_count, above);
        while (from_above + of_above < pool_count && sorted[from_above + of_above] == above) of_above++;
      }
      long picked = (long)(ties[net][i] * (float)(of_below + of_above));
      long place = picked < of_below ? from_below + picked : from_above + picked - of_below;
      found[i] = s.order[place < pool_count ? place : pool_count - 1];
    }
  }
  free(sorted), release(&s);
}
