/* CPU form of common/learning/conservative.py: what a conservative critic pays for sampled actions, float32.
 *
 * As kernels.c, whose matrix products it uses: every tensor is an array of pointers, one for each network, and a
 * network's result does not depend on its neighbours. Samples of some observations at a time stay in cache, and the
 * first layer sees an observation once, not once for each of its samples. */
#include "kernels.c"

/* q <- softmax of q - shift over the samples of an observation, over `batch`; returns the sum of logsumexps. */
static double soften(float *q, const float *shift, long states, long samples, long batch) {
  double sum = 0;
  for (long i = 0; i < states; i++) {
    float *qi = q + i * samples, top = -INFINITY, norm = 0;
    for (long k = 0; k < samples; k++) {
      qi[k] -= shift[i * samples + k];
      top = qi[k] > top ? qi[k] : top;
    }
    for (long k = 0; k < samples; k++) norm += qi[k] = expf(qi[k] - top);
    sum += top + logf(norm);
    for (long k = 0; k < samples; k++) qi[k] /= norm * batch;
  }
  return sum;
}

/* value = mean over observations of the logsumexp over samples of q - shift; its gradients are added to the weights'
 * (that to the output's bias is 1) and written to gobs [batch, obs_size]. */
void weighted_logsumexp(long nets, long batch, long samples, long obs_size, long size, long width, float **obs,
                        float **actions, float **shift, float **w1, float **b1, float **w2, float **b2, float **w3,
                        float **b3, float **value, float **gobs, float **gw1, float **gb1, float **gw2, float **gb2,
                        float **gw3) {
  long states = BLOCK / samples > 0 ? BLOCK / samples : 1, rows = states * samples;
  long padded = (obs_size + LANES - 1) / LANES * LANES;
  float *base = scratch(states * width), *h1 = scratch(rows * width), *h2 = scratch(rows * width);
  float *g1 = scratch(rows * width), *q = scratch(rows), *w2t = scratch(width * width);
  float *w1t = scratch(width * padded), *gin = scratch(states * padded);
  for (long net = 0; net < nets; net++) {
    double total = 0;
    memset(w1t, 0, sizeof(float) * width * padded);
    transpose(w1[net], obs_size, width, w1t, padded);
    transpose(w2[net], width, width, w2t, width);
    for (long s = 0; s < batch; s += states) {
      long n = batch - s < states ? batch - s : states, many = n * samples;
      const float *o = obs[net] + s * obs_size, *a = actions[net] + s * samples * size;
      gemm(o, obs_size, 1, w1[net], base, n, width, obs_size, b1[net], 0, 0);
      sample_hidden(base, a, w1[net] + obs_size * width, n, samples, size, width, h1);
      gemm(h1, width, 1, w2[net], h2, many, width, width, b2[net], 0, 1);
      q_values(h2, w3[net], *b3[net], many, width, q);
      total += soften(q, shift[net] + s * samples, n, samples, batch);
      to_hidden(h2, q, w3[net], gw3[net], gb2[net], many, width);
      gemm(h1, 1, width, h2, gw2[net], width, width, many, 0, 1, 0);
      gemm(h2, width, 1, w2t, g1, many, width, width, 0, 0, 0);
      mask(g1, h1, many, width, gb1[net]);
      gemm(a, 1, size, g1, gw1[net] + obs_size * width, size, width, many, 0, 1, 0);
      sum_samples(g1, base, n, samples, width); /* base's gradient */
      gemm(o, 1, obs_size, base, gw1[net], obs_size, width, n, 0, 1, 0);
      gemm(base, width, 1, w1t, gin, n, padded, width, 0, 0, 0);
      for (long i = 0; i < n; i++)
        memcpy(gobs[net] + (s + i) * obs_size, gin + i * padded, sizeof(float) * obs_size);
    }
    *value[net] = total / batch;
  }
  free(base), free(h1), free(h2), free(g1), free(q), free(w2t), free(w1t), free(gin);
}
