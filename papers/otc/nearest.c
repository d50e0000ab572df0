/* CPU form of papers/otc/nearest.py: smallest L1 distance of every row to a pool, one network after another.
 *
 * The pool is turned so that LANES candidates lie side by side; ROWS rows share each load of them.
 */
#include <stdlib.h>
#include <string.h>

typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(64), aligned(4), may_alias));
#define LANES 16
#define ROWS 4
#define FAR 1e30f

static inline vec load(const float *p) { return *(const vec *)p; }
static inline vec absolute(vec v) { return (vec)((ivec)v & 0x7fffffff); }
static inline vec smaller(vec a, vec b) {
  ivec less = (ivec)(a < b);
  return (vec)(((ivec)a & less) | ((ivec)b & ~less));
}

/* out[net][i] = min_j sum_e |rows[net][i, e] - pool[net][j, e]|; rows [count, size], pool [pool_count, size]. */
void nearest_l1(long nets, long count, long pool_count, long size, float **rows, float **pool, float **out) {
  long padded = (pool_count + LANES - 1) / LANES * LANES;
  void *memory = 0;
  if (posix_memalign(&memory, 64, sizeof(float) * padded * size)) abort();
  float *turned = memory;
  for (long net = 0; net < nets; net++) {
    for (long e = 0; e < size; e++)
      for (long j = 0; j < padded; j++) turned[e * padded + j] = j < pool_count ? pool[net][j * size + e] : FAR;
    for (long i = 0; i < count; i += ROWS) {
      const float *row[ROWS];
      for (long r = 0; r < ROWS; r++) row[r] = rows[net] + (i + r < count ? i + r : i) * size;
      vec best[ROWS];
      for (long r = 0; r < ROWS; r++) best[r] = (vec){0} + FAR;
      for (long j = 0; j < padded; j += LANES) {
        vec total[ROWS];
        for (long r = 0; r < ROWS; r++) total[r] = (vec){0};
        for (long e = 0; e < size; e++) {
          vec candidates = load(turned + e * padded + j);
          for (long r = 0; r < ROWS; r++) total[r] += absolute(candidates - row[r][e]);
        }
        for (long r = 0; r < ROWS; r++) best[r] = smaller(total[r], best[r]);
      }
      for (long r = 0; r < ROWS && i + r < count; r++) {
        float least = best[r][0];
        for (int lane = 1; lane < LANES; lane++) least = best[r][lane] < least ? best[r][lane] : least;
        out[net][i + r] = least;
      }
    }
  }
  free(turned);
}
