// A network of convolutions, 3 × 3, then any 1 × 1, then 3 × 3, with ReLU between them; see convnet.py.
//
// Pictures go through it in panels of 16, one in each lane of a register, so that neither few channels nor narrow pictures leave lanes
// idle. A panel goes row by row through all layers: what lies between them is never larger than three rows.
#include "avx512.h"

namespace {

// One row of a convolution: B[t] (depth, width, 16), lines br apart, is what tap t reads; C (outputs, width, 16), cr apart.
void convolve(const float* weight, const float* bias, int outputs, const float* const* B, int taps, long br, int depth, int width, float* C,
              long cr, bool relu) {
  const float* at[9];
  for (int p = 0; p < width; p += 4) {
    for (int t = 0; t < taps; t++) at[t] = B[t] + p * V;
    for (int o = 0; o < outputs; o += TALL) {
      const float* A = weight + long(o) * taps * depth;
      product<false, false>(std::min(TALL, outputs - o), std::min(4, width - p), A, long(taps) * depth, at, taps, br, depth,
                            C + o * cr + p * V, cr, bias + o, relu);
    }
  }
}

}  // namespace

// x (n, height, width, widths[0]), weights (outputs, kernel, kernel, inputs), out (n, height, width, widths[layers])
extern "C" void convnet_forward(const int* widths, int layers, long n, int height, int width, const float* x, const float* const* weights,
                                const float* const* biases, float* out) {
  const int inputs = widths[0], outputs = widths[layers], last = widths[layers - 1];
  const int most = *std::max_element(widths + 1, widths + layers + 1);
  const long panels = (n + V - 1) / V, size = long(height) * width, narrow = width * V;
  const long wide = (width + 2) * V;  // with a zero at each end
  const int threads = std::min<long>(omp_get_max_threads(), panels);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    float *in = room<0>((height + 2) * inputs * wide), *ring = room<1>(4 * last * wide), *none = ring + 3 * last * wide;
    float *one = room<2>(most * narrow), *two = room<3>(most * narrow);
    std::fill(in, in + (height + 2) * inputs * wide, 0.f);
    std::fill(ring, ring + 4 * last * wide, 0.f);
#pragma omp for schedule(static)
    for (long c = 0; c < panels; c++) {
      const int count = std::min<long>(V, n - c * V);
      __m512 r[V];
      for (int row = 0; row < height; row++)
        for (int j = 0; j < width * inputs; j += V) {
          int some = std::min(V, width * inputs - j);
          __mmask16 there = (1u << some) - 1;
          const float* from = x + (c * V * size + row * width) * inputs + j;
          for (int k = 0; k < V; k++) r[k] = k < count ? _mm512_maskz_loadu_ps(there, from + k * size * inputs) : _mm512_setzero_ps();
          transpose(r);
          for (int k = 0; k < some; k++) {
            int pixel = (j + k) / inputs, channel = (j + k) % inputs;
            _mm512_storeu_ps(in + ((row + 1) * inputs + channel) * wide + (pixel + 1) * V, r[k]);
          }
        }
      for (int row = 0; row <= height; row++) {
        const float* B[9];
        if (row < height) {
          for (int t = 0; t < 9; t++) B[t] = in + (row + t / 3) * inputs * wide + t % 3 * V;
          float *from = one, *to = two;
          for (int l = 0; l < layers - 1; l++) {
            bool end = l == layers - 2;
            float* C = end ? ring + row % 3 * last * wide + V : to;
            convolve(weights[l], biases[l], widths[l + 1], B, l ? 1 : 9, l ? narrow : wide, widths[l], width, C, end ? wide : narrow, true);
            B[0] = to;
            std::swap(from, to);
          }
        }
        if (!row) continue;
        for (int t = 0; t < 9; t++) {
          int at = row - 2 + t / 3;
          B[t] = (at < 0 || at >= height ? none : ring + at % 3 * last * wide) + t % 3 * V;
        }
        convolve(weights[layers - 1], biases[layers - 1], outputs, B, 9, wide, last, width, one, narrow, false);
        for (int j = 0; j < width * outputs; j += V) {
          int some = std::min(V, width * outputs - j);
          __mmask16 there = (1u << some) - 1;
          for (int k = 0; k < V; k++) {
            int pixel = (j + k) / outputs, channel = (j + k) % outputs;
            r[k] = k < some ? _mm512_loadu_ps(one + channel * narrow + pixel * V) : _mm512_setzero_ps();
          }
          transpose(r);
          float* to = out + (c * V * size + (row - 1) * width) * outputs + j;
          for (int k = 0; k < count; k++) _mm512_mask_storeu_ps(to + k * size * outputs, there, r[k]);
        }
      }
    }
  }
}
