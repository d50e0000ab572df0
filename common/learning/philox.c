/* CPU form of common/learning/philox.py: Philox4x32-10 (Salmon et al., 2011) for all members at once.
 *
 * A number is a function of its member's key, of the number of the draw and of its place within it, so nothing is
 * kept between calls and members cannot touch each other. LANES counters go through the rounds together.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 64
#define BLOCK (4 * LANES) /* words of one call of `rounds` */
#define ROUNDS 10

/* Four words for each of LANES consecutive blocks of a row of a draw: word w of block `first + i` is words[w][i]. */
static void rounds(const uint32_t *key, uint64_t draw, uint32_t row, uint32_t first, uint32_t words[4][LANES]) {
  uint32_t *a = words[0], *b = words[1], *c = words[2], *d = words[3];
  uint32_t key0 = key[0], key1 = key[1];
  for (int i = 0; i < LANES; i++) {
    a[i] = first + i;
    b[i] = row;
    c[i] = (uint32_t)draw;
    d[i] = (uint32_t)(draw >> 32);
  }
  for (int round = 0; round < ROUNDS; round++) {
    for (int i = 0; i < LANES; i++) {
      uint64_t left = (uint64_t)0xD2511F53u * a[i];
      uint64_t right = (uint64_t)0xCD9E8D57u * c[i];
      a[i] = (uint32_t)(right >> 32) ^ b[i] ^ key0;
      c[i] = (uint32_t)(left >> 32) ^ d[i] ^ key1;
      b[i] = (uint32_t)right;
      d[i] = (uint32_t)left;
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

static long at_most(long left, long most) { return left < most ? left : most; }

/* Word w of block k is number 4 k + w of a row. */
static void words_of(const uint32_t *key, uint64_t draw, uint32_t row, long start, long count, uint32_t *out) {
  uint32_t words[4][LANES], ordered[BLOCK];
  for (long done = 0; done < count; done += BLOCK) {
    rounds(key, draw, row, (start + done) / 4, words);
    for (int i = 0; i < LANES; i++)
      for (int w = 0; w < 4; w++) ordered[4 * i + w] = words[w][i];
    memcpy(out + done, ordered, at_most(count - done, BLOCK) * sizeof(uint32_t));
  }
}

void philox_words(long members, const uint32_t *keys, uint64_t draw, long count, uint32_t *out) {
  for (long m = 0; m < members; m++) words_of(keys + 2 * m, draw, 0, 0, count, out + m * count);
}

/* The upper 24 bits of every word, as a number in [0, 1). */
void philox_uniform(long members, const uint32_t *keys, uint64_t draw, long count, float *out) {
  uint32_t words[4][LANES];
  float numbers[BLOCK];
  for (long m = 0; m < members; m++, out += count)
    for (long done = 0; done < count; done += BLOCK) {
      rounds(keys + 2 * m, draw, 0, done / 4, words);
      for (int i = 0; i < LANES; i++)
        for (int w = 0; w < 4; w++) numbers[4 * i + w] = (float)(int32_t)(words[w][i] >> 8) * 0x1p-24f;
      memcpy(out + done, numbers, at_most(count - done, BLOCK) * sizeof(float));
    }
}

/* Natural logarithm of x in (0, 1]: Cephes' polynomial (Moshier), error below 1e-6. */
static inline float logarithm(float x) {
  union { float number; int32_t bits; } u = {x};
  int32_t exponent = ((u.bits >> 23) & 255) - 127;
  u.bits = (u.bits & 0x007fffff) | 0x3f800000;
  int32_t large = u.number > 1.41421356f;
  float z = (large ? 0.5f * u.number : u.number) - 1, y = z * z, p = 7.0376836292e-2f;
  float e = (float)(exponent + large);
  p = p * z - 1.1514610310e-1f;
  p = p * z + 1.1676998740e-1f;
  p = p * z - 1.2420140846e-1f;
  p = p * z + 1.4249322787e-1f;
  p = p * z - 1.6668057665e-1f;
  p = p * z + 2.0000714765e-1f;
  p = p * z - 2.4999993993e-1f;
  p = p * z + 3.3333331174e-1f;
  return z + (p * z * y - 2.12194440e-4f * e - 0.5f * y) + 0.693359375f * e;
}

/* Box-Muller: words 0, 1 of a block give its numbers 0, 1, words 2, 3 its numbers 2, 3. */
void philox_normal(long members, const uint32_t *keys, uint64_t draw, long count, float *out) {
  uint32_t words[4][LANES];
  float numbers[BLOCK], radius[LANES], cosines[LANES], sines[LANES];
  for (long m = 0; m < members; m++, out += count)
    for (long done = 0; done < count; done += BLOCK) {
      rounds(keys + 2 * m, draw, 0, done / 4, words);
      for (int first = 0; first < 4; first += 2) {
        for (int i = 0; i < LANES; i++)
          radius[i] = sqrtf(-2 * logarithm(((float)(int32_t)(words[first][i] >> 8) + 1) * 0x1p-24f));
        for (int i = 0; i < LANES; i++) {
          /* the angle: two bits for the quadrant, 22 for the place in it, from its middle */
          uint32_t word = words[first + 1][i] >> 8, quadrant = word >> 22;
          float turn = ((float)(int32_t)(word & 0x3fffff) + 0.5f) * 0x1p-22f - 0.5f;
          float x = 1.57079632679f * turn, y = x * x;
          float sine = x + x * y * (-1.6666654611e-1f + y * (8.3321608736e-3f - 1.9515295891e-4f * y));
          float cosine = 1 - 0.5f * y + y * y * (4.166664568298827e-2f +
                         y * (-1.388731625493765e-3f + 2.443315711809948e-5f * y));
          cosines[i] = quadrant == 0 ? cosine : quadrant == 1 ? -sine : quadrant == 2 ? -cosine : sine;
          sines[i] = quadrant == 0 ? sine : quadrant == 1 ? cosine : quadrant == 2 ? -sine : -cosine;
        }
        for (int i = 0; i < LANES; i++) {
          numbers[4 * i + first] = radius[i] * cosines[i];
          numbers[4 * i + first + 1] = radius[i] * sines[i];
        }
      }
      memcpy(out + done, numbers, at_most(count - done, BLOCK) * sizeof(float));
    }
}

/* The first `count` distinct values of floor(word * sizes[m] / 2^32) in each row of words.
 *
 * Returns 0, or 1 where there is no memory.
 */
long philox_distinct(long members, const uint32_t *keys, uint64_t draw, const int64_t *sizes, long rows, long count,
                     int64_t *out) {
  uint64_t slots = 4;
  while (slots < 2 * (uint64_t)count) slots *= 2;
  int64_t *table = malloc(slots * sizeof(int64_t));
  if (!table) return 1;
  uint32_t words[BLOCK];
  for (long m = 0; m < members; m++)
    for (long row = 0; row < rows; row++, out += count) {
      memset(table, -1, slots * sizeof(int64_t));
      long have = 0;
      for (long done = 0; have < count; done += BLOCK) {
        words_of(keys + 2 * m, draw, row, done, BLOCK, words);
        for (int i = 0; i < BLOCK && have < count; i++) {
          int64_t value = ((uint64_t)words[i] * (uint64_t)sizes[m]) >> 32;
          uint64_t slot = ((value * 0x9E3779B97F4A7C15u) >> 32) & (slots - 1);
          while (table[slot] != -1 && table[slot] != value) slot = (slot + 1) & (slots - 1);
          if (table[slot] == -1) {
            table[slot] = value;
            out[have++] = value;
          }
        }
      }
    }
  free(table);
  return 0;
}
