// A network of convolutions, 3 × 3, then any 1 × 1, then 3 × 3, with ReLU between them, there and back; see networks.py.
//
// Pictures go through it in panels of 16, one in each lane of a register, so that neither few channels nor narrow pictures leave lanes
// idle. A panel goes row by row through all layers: what lies between them stays in the nearer caches. A row of a panel is (channels, width
// + 2, 16), with a zero pixel at each end.
#include "avx512.h"

namespace {

struct Net {
  const int* widths;  // layers + 1
  int layers, height, width;
  long n, panels, wide;        // of pictures; of panels; numbers from a channel's row to the next one's
  std::vector<int> held;       // of each layer: how many rows of its input there are room for, all where the way back reads them
  std::vector<long> from;      // of each layer: its input in a panel
  long units = 0;              // numbers of a panel
  std::vector<long> at, bias;  // of each layer: the gradients of its weights and biases among all sums
  long size = 0;               // of all sums
  Net(const int* plan, long n, bool kept)
      : widths(plan + 3), layers(plan[0]), height(plan[1]), width(plan[2]), n(n), panels((n + V - 1) / V), wide((width + 2) * V) {
    for (int l = 0; l < layers; l++) {
      held.push_back(kept || !l ? height : l == layers - 1 ? std::min(3, height) : 1);
      from.push_back(units), units += held[l] * widths[l] * wide;
      at.push_back(size), size += long(taps(l)) * rows(l) * broad(l);
      bias.push_back(size), size += V * widths[l + 1];
    }
  }
  int taps(int l) const { return l == 0 || l == layers - 1 ? 9 : 1; }
  // Gradients of weights lie (taps, outputs, inputs), the first layer's (taps, inputs, outputs): few inputs would leave lanes idle.
  int rows(int l) const { return widths[l ? l + 1 : l]; }
  int broad(int l) const { return (widths[l ? l : l + 1] + V - 1) / V * V; }
  int most() const { return *std::max_element(widths, widths + layers + 1); }
  int threads() const { return std::min<long>(omp_get_max_threads(), panels); }
  int count(long panel) const { return std::min<long>(V, n - panel * V); }
};

// Pictures (n, height, width, channels) -> a panel.
void load(const Net& net, const float* x, long panel, int channels, float* to) {
  const long size = long(net.height) * net.width * channels;
  const int across = net.width * channels, count = net.count(panel);
  std::fill(to, to + net.height * channels * net.wide, 0.f);
  __m512 r[V];
  for (int row = 0; row < net.height; row++)
    for (int j = 0; j < across; j += V) {
      int some = std::min(V, across - j);
      __mmask16 there = (1u << some) - 1;
      const float* from = x + panel * V * size + row * across + j;
      for (int k = 0; k < V; k++) r[k] = k < count ? _mm512_maskz_loadu_ps(there, from + k * size) : _mm512_setzero_ps();
      transpose(r);
      for (int k = 0; k < some; k++) {
        int pixel = (j + k) / channels, channel = (j + k) % channels;
        _mm512_storeu_ps(to + (row * channels + channel) * net.wide + (pixel + 1) * V, r[k]);
      }
    }
}

// A row of a panel -> that row of the pictures.
void store(const Net& net, const float* from, long panel, int row, int channels, float* out) {
  const long size = long(net.height) * net.width * channels;
  const int across = net.width * channels, count = net.count(panel);
  __m512 r[V];
  for (int j = 0; j < across; j += V) {
    int some = std::min(V, across - j);
    __mmask16 there = (1u << some) - 1;
    for (int k = 0; k < V; k++) {
      int pixel = (j + k) / channels, channel = (j + k) % channels;
      r[k] = k < some ? _mm512_loadu_ps(from + channel * net.wide + (pixel + 1) * V) : _mm512_setzero_ps();
    }
    transpose(r);
    float* to = out + panel * V * size + row * across + j;
    for (int k = 0; k < count; k++) _mm512_mask_storeu_ps(to + k * size, there, r[k]);
  }
}

// What a row of a convolution reads: from B[t] on with tap first + t of its taps.
struct Reads {
  int first = 0, count = 1, taps = 1;
  const float* B[9];
  explicit Reads(const float* row) { B[0] = row + V; }
  // The three rows around one of `kept` rows that stand one after the other, and what lies within the picture of it.
  Reads(const Net& net, const float* rows, int kept, int row, int channels) : taps(9) {
    first = row ? 0 : 3, count = (row < net.height - 1 ? 9 : 6) - first;
    for (int t = 0; t < count; t++) {
      int at = row - 1 + (first + t) / 3;
      B[t] = rows + at % kept * channels * net.wide + t % 3 * V;
    }
  }
};

// One row of a convolution; weights (outputs, taps, inputs).
void convolve(const Net& net, const float* weight, const float* bias, int outputs, const Reads& reads, int inputs, float* row, bool relu) {
  const long step = long(reads.taps) * inputs;
  const float* at[9];
  for (int p = 0; p < net.width; p += 4) {
    for (int t = 0; t < reads.count; t++) at[t] = reads.B[t] + p * V;
    for (int o = 0; o < outputs; o += TALL)
      product<false, false>(std::min(TALL, outputs - o), std::min(4, net.width - p), weight + o * step + reads.first * inputs, step, at,
                            reads.count, net.wide, inputs, row + o * net.wide + (p + 1) * V, net.wide, bias ? bias + o : nullptr, relu);
  }
  for (int o = 0; o < outputs; o++) {
    _mm512_storeu_ps(row + o * net.wide, _mm512_setzero_ps());
    _mm512_storeu_ps(row + (o + 1) * net.wide - V, _mm512_setzero_ps());
  }
}

// (outputs, 9, inputs) -> (inputs, 9, outputs), the last tap first: the convolution that goes back.
void flip(const float* weight, int outputs, int inputs, float* to) {
  for (int o = 0; o < outputs; o++)
    for (int t = 0; t < 9; t++)
      for (int i = 0; i < inputs; i++) to[(long(i) * 9 + 8 - t) * outputs + o] = weight[(long(o) * 9 + t) * inputs + i];
}

// sums (rows, broad) += Σ over a row's pixels and pictures of a (rows, .) and turned (., broad)
void gather(const Net& net, const float* a, int rows, const float* turned, int broad, float* sums) {
  for (int o = 0; o < rows; o += TALL)
    for (int w = 0; w < broad; w += 4 * V) {
      const float* B = turned + w;
      product<true, false>(std::min(TALL, rows - o), std::min(4, (broad - w) / V), a + o * net.wide, net.wide, &B, 1, broad, net.width * V,
                           sums + long(o) * broad + w, broad, nullptr, false);
    }
}

}  // namespace

// plan: how many layers, height, width, all widths. x (n, height, width, inputs), weights (outputs, kernel, kernel, inputs), out (n,
// height, width, outputs); kept, where it is not null, is for the way back.
extern "C" void convnet_forward(const int* plan, long n, const float* x, const float* const* weights, const float* const* biases,
                                float* kept, float* out) {
  const Net net(plan, n, kept);
  const int *widths = net.widths, end = net.layers - 1, last = widths[end], outputs = widths[end + 1], height = net.height;
  const int threads = net.threads();
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    float *own = room<0>(net.units), *one = room<1>(net.most() * net.wide);
#pragma omp for schedule(static)
    for (long c = 0; c < net.panels; c++) {
      float* panel = kept ? kept + c * net.units : own;
      load(net, x, c, widths[0], panel);
      for (int row = 0; row <= height; row++) {
        if (row < height) {
          Reads reads(net, panel, height, row, widths[0]);
          for (int l = 0; l < end; l++) {
            float* to = panel + net.from[l + 1] + row % net.held[l + 1] * widths[l + 1] * net.wide;
            convolve(net, weights[l], biases[l], widths[l + 1], reads, widths[l], to, true);
            reads = Reads(to);
          }
        }
        if (!row) continue;
        convolve(net, weights[end], biases[end], outputs, Reads(net, panel + net.from[end], net.held[end], row - 1, last), last, one,
                 false);
        store(net, one, c, row - 1, outputs, out);
      }
    }
  }
}

// g as out, at_x as x; found: the gradients of each layer's weights and biases, layer after layer.
extern "C" void convnet_backward(const int* plan, long n, const float* g, const float* const* weights, const float* kept, float* at_x,
                                 float* found) {
  const Net net(plan, n, true);
  const int *widths = net.widths, end = net.layers - 1, last = widths[end], inputs = widths[0], outputs = widths[end + 1];
  const int height = net.height, width = net.width, threads = net.threads(), most = net.most();
  float *first_back = room<3>(9l * inputs * widths[1]), *last_back = room<4>(9l * last * outputs);
  flip(weights[0], widths[1], inputs, first_back), flip(weights[end], outputs, last, last_back);
  float* sums = room<5>(threads * net.size);
  std::fill(sums, sums + threads * net.size, 0.f);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    float *mine = sums + omp_get_thread_num() * net.size, *turned = room<6>((most + V) * net.wide);
    float *gs = room<0>(height * outputs * net.wide), *one = room<1>(2 * most * net.wide), *two = one + most * net.wide;
    float* ring = room<2>(3 * widths[1] * net.wide);
#pragma omp for schedule(static)
    for (long c = 0; c < net.panels; c++) {
      const float* panel = kept + c * net.units;
      load(net, g, c, outputs, gs);
      for (int row = 0; row <= height; row++) {
        if (row < height) {
          for (int o = 0; o < outputs; o++) sum_up(gs + (row * outputs + o) * net.wide, width + 2, mine + net.bias[end] + o * V);
          float* here = nullptr;
          for (int l = end; l > 0; l--) {
            const int I = widths[l], O = widths[l + 1];
            const float *in = panel + net.from[l] + row * I * net.wide, *above = here;
            turn(in + V, I, net.wide, width, turned, net.broad(l));
            here = l == 1 ? ring + row % 3 * I * net.wide : above == one ? two : one;
            if (l == end) {
              convolve(net, last_back, nullptr, I, Reads(net, gs, height, row, O), O, here, false);
              // What this row was to the output's rows, by the tap that read it.
              for (int t = 0; t < 9; t++) {
                int to = row + 1 - t / 3;
                if (to < 0 || to >= height) continue;
                gather(net, gs + to * O * net.wide + (2 - t % 3) * V, O, turned, net.broad(l),
                       mine + net.at[l] + long(t) * O * net.broad(l));
              }
            } else {
              gather(net, above + V, O, turned, net.broad(l), mine + net.at[l]);
              for (int p = 0; p < width; p += 4)
                for (int i = 0; i < I; i += TALL) {
                  const float* from = above + (p + 1) * V;
                  product<false, true>(std::min(TALL, I - i), std::min(4, width - p), weights[l] + i, I, &from, 1, net.wide, O,
                                       here + i * net.wide + (p + 1) * V, net.wide, nullptr, false);
                }
            }
            // The zeros at the ends stay: what came out of ReLU is 0 there.
            relu_back(here, in, I * (width + 2));
            for (int i = 0; i < I; i++) sum_up(here + i * net.wide, width + 2, mine + net.bias[l - 1] + i * V);
          }
          turn(here + V, widths[1], net.wide, width, turned, net.broad(0));
          const Reads reads(net, panel, height, row, inputs);
          for (int t = 0; t < reads.count; t++)
            gather(net, reads.B[t], inputs, turned, net.broad(0), mine + net.at[0] + long(reads.first + t) * inputs * net.broad(0));
        }
        if (!row) continue;
        convolve(net, first_back, nullptr, inputs, Reads(net, ring, 3, row - 1, widths[1]), widths[1], one, false);
        store(net, one, c, row - 1, inputs, at_x);
      }
    }
  }
  for (int t = 1; t < threads; t++)
    for (long j = 0; j < net.size; j++) sums[j] += sums[t * net.size + j];
  float* to = found;
  for (int l = 0; l <= end; l++) {
    const int I = widths[l], O = widths[l + 1], taps = net.taps(l), broad = net.broad(l);
    const float* from = sums + net.at[l];
    for (int o = 0; o < O; o++)
      for (int t = 0; t < taps; t++)
        for (int i = 0; i < I; i++) *to++ = l ? from[(long(t) * O + o) * broad + i] : from[(long(t) * I + i) * broad + o];
    for (int o = 0; o < O; o++) *to++ = _mm512_reduce_add_ps(_mm512_loadu_ps(sums + net.bias[l] + o * V));
  }
}
