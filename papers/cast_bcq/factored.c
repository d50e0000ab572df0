/* CPU form of papers/cast_bcq/factored.py: values of joint actions that are given as numbers, one network after another.
 *
 * table has a row of the first layer's weights for every agent and action. nobody is the first layer without any.
 */
#include "../../common/learning/recurrent.c"

#define WIDE 16 /* columns of the last layer, of which one counts */

static void plus(float *out, const float *row, long width) {
  for (long j = 0; j < width; j += LANES) store(out + j, load(out + j) + load(row + j));
}

/* out = the positive part of a + b. */
static void positive_sum(float *out, const float *a, const float *b, long width) {
  for (long j = 0; j < width; j += LANES) store(out + j, relu(load(a + j) + load(b + j)));
}

/* Values, in the first of `WIDE` columns, of first hidden layers; `second` is scratch. */
static void rest(const float *first, long rows, long width, const float *w2, const float *b2, const float *w3,
                 const float *b3, float *second, float *value) {
  gemm(first, width, 1, w2, second, rows, width, width, b2, 0, 1);
  gemm(second, width, 1, w3, value, rows, WIDE, width, b3, 0, 0);
}

/* q[b, k] of `count` joint actions, numbers[b, k, agent], in every place b. */
void candidate_values(long nets, long places, long count, long agents, long actions, long width, float **nobody,
                      float **table, int **numbers, float **w2, float **b2, float **w3, float **b3, float **q) {
  float *first = scratch(BLOCK * width), *second = scratch(BLOCK * width), *value = scratch(BLOCK * WIDE);
  float *all = scratch(width);
  for (long net = 0; net < nets; net++)
    for (long r = 0; r < places * count; r += BLOCK) {
      long n = places * count - r < BLOCK ? places * count - r : BLOCK;
      for (long i = 0; i < n; i++) {
        const int *number = numbers[net] + (r + i) * agents;
        memset(all, 0, sizeof(float) * width);
        for (long a = 0; a < agents; a++) plus(all, table[net] + (a * actions + number[a]) * width, width);
        positive_sum(first + i * width, nobody[net] + (r + i) / count * width, all, width);
      }
      rest(first, n, width, w2[net], b2[net], w3[net], b3[net], second, value);
      for (long i = 0; i < n; i++) q[net][r + i] = value[i * WIDE];
    }
  free(first), free(second), free(value), free(all);
}

/* present_q and absent_q [agent, subteam, place]: values with an agent's own action and without, where the others whom
 * present [agent, subteam, agent] names do theirs. own, others: [agent, place], numbers. */
void counterfactual_values(long nets, long places, long agents, long actions, long subteams, long width, float **nobody,
                           float **table, int **own, int **others, float **present, float **w2, float **b2, float **w3,
                           float **b3, float **present_q, float **absent_q) {
  long together = BLOCK / agents > 0 ? BLOCK / agents : 1, rows = together * agents;
  float *with = scratch(rows * width), *without = scratch(rows * width), *second = scratch(rows * width);
  float *value = scratch(rows * WIDE), *sum = scratch(width), *nothing = scratch(width);
  memset(nothing, 0, sizeof(float) * width);
  for (long net = 0; net < nets; net++)
    for (long b = 0; b < places; b += together) {
      long n = places - b < together ? places - b : together;
      for (long s = 0; s < subteams; s++) {
        for (long i = 0; i < agents; i++) {
          const float *there = present[net] + (i * subteams + s) * agents;
          for (long p = 0; p < n; p++) {
            memcpy(sum, nobody[net] + (b + p) * width, sizeof(float) * width);
            for (long a = 0; a < agents; a++)
              if (a != i && there[a] > 0)
                plus(sum, table[net] + (a * actions + others[net][a * places + b + p]) * width, width);
            positive_sum(without + (i * n + p) * width, sum, nothing, width);
            const float *acting = table[net] + (i * actions + own[net][i * places + b + p]) * width;
            positive_sum(with + (i * n + p) * width, sum, acting, width);
          }
        }
        for (int absent = 0; absent < 2; absent++) {
          float *q = absent ? absent_q[net] : present_q[net];
          rest(absent ? without : with, n * agents, width, w2[net], b2[net], w3[net], b3[net], second, value);
          for (long i = 0; i < agents; i++)
            for (long p = 0; p < n; p++) q[(i * subteams + s) * places + b + p] = value[(i * n + p) * WIDE];
        }
      }
    }
  free(with), free(without), free(second), free(value), free(sum), free(nothing);
}
