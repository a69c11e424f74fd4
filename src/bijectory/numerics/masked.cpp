// The masked network of MADE, there and back; see networks.py, which also says what a plan is.
//
// Vectors go through the network in panels of 64, which stay in the processor's nearest caches from the first layer to the last. Units
// stand in rising degree, so what a row of a matrix sees of the layer below are its first `sees` units: a product stops there.
#include "avx512.h"

namespace {

constexpr long P = 64;  // vectors of a panel: four registers

struct Plan {
  int layers;
  const int* widths;                 // layers + 1
  const int *read, *written;         // where the sorted inputs and outputs stand
  std::vector<const int*> sees;      // of each layer: how many of its inputs each unit sees
  std::vector<long> at, from, bias;  // of each layer: its matrix, its inputs in a panel, its biases
  long numbers = 0, units = 0, biases = 0;
  explicit Plan(const int* given) : layers(given[0]), widths(given + 1) {
    read = widths + layers + 1;
    written = read + widths[0];
    const int* next = written + widths[layers];
    for (int l = 0; l < layers; l++) {
      sees.push_back(next);
      next += widths[l + 1];
      at.push_back(numbers), from.push_back(units), bias.push_back(biases);
      numbers += long(widths[l]) * widths[l + 1], units += widths[l], biases += widths[l + 1];
    }
  }
  int wide(int l) const { return (widths[l] + V - 1) / V * V; }
};

void pack(const Plan& p, const float* const* weights, float* to) {
  for (int l = 0; l < p.layers; l++) {
    int I = p.widths[l], O = p.widths[l + 1];
    for (int o = 0; o < O; o++) {
      float* row = to + p.at[l] + long(o) * I;
      const float* from = weights[l] + long(l == p.layers - 1 ? p.written[o] : o) * I;
      int s = p.sees[l][o];
      if (l == 0)
        for (int i = 0; i < s; i++) row[i] = from[p.read[i]];
      else
        memcpy(row, from, s * sizeof(float));
      memset(row + s, 0, (I - s) * sizeof(float));
    }
  }
}

void load(const float* x, long n, long first, const int* order, int rows, float* panel) {
  long count = std::min(P, n - first);
  for (int i = 0; i < rows; i++) {
    memcpy(panel + i * P, x + order[i] * n + first, count * sizeof(float));
    if (count < P) memset(panel + i * P + count, 0, (P - count) * sizeof(float));
  }
}

void store(const float* panel, int rows, const int* order, float* to, long n, long first) {
  long count = std::min(P, n - first);
  for (int i = 0; i < rows; i++) memcpy(to + order[i] * n + first, panel + i * P, count * sizeof(float));
}

}  // namespace

extern "C" void masked_forward(const int* given, long n, const float* x, const float* const* weights, const float* const* biases,
                               float* kept, float* out) {
  Plan p(given);
  int L = p.layers, O = p.widths[L];
  float* held = room<0>(p.numbers);
  std::vector<float> last(O);
  pack(p, weights, held);
  long panels = (n + P - 1) / P;
  int threads = std::min<long>(omp_get_max_threads(), panels);
  for (int o = 0; o < O; o++) last[o] = biases[L - 1][p.written[o]];
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    float* own = room<1>(kept ? O * P : (O + p.units) * P);
#pragma omp for schedule(static)
    for (long c = 0; c < panels; c++) {
      float* panel = kept ? kept + c * p.units * P : own + O * P;
      load(x, n, c * P, p.read, p.widths[0], panel);
      for (int l = 0; l < L; l++) {
        int I = p.widths[l], many = p.widths[l + 1];
        const float *W = held + p.at[l], *in = panel + p.from[l] * P, *b = l == L - 1 ? last.data() : biases[l];
        float* to = l == L - 1 ? own : panel + p.from[l + 1] * P;
        for (int o = 0; o < many; o += TALL) {
          int tall = std::min(TALL, many - o);
          product<false, false>(tall, 4, W + long(o) * I, I, &in, 1, P, p.sees[l][o + tall - 1], to + o * P, P, b + o, l < L - 1);
        }
      }
      store(own, O, p.written, out, n, c * P);
    }
  }
}

extern "C" void masked_backward(const int* given, long n, const float* g, const float* const* weights, const float* kept, float* at_x,
                                float* found) {
  Plan p(given);
  int L = p.layers, O = p.widths[L], most = *std::max_element(p.widths, p.widths + L + 1);
  float* held = room<0>(p.numbers);
  pack(p, weights, held);
  std::vector<long> at(L + 1);
  for (int l = 0; l < L; l++) at[l + 1] = at[l] + long(p.widths[l + 1]) * p.wide(l);
  // Of each unit: the first that sees it.
  std::vector<std::vector<int>> seen(L);
  for (int l = 0; l < L; l++)
    for (int i = 0, o = 0; i < p.widths[l]; i++) {
      while (o < p.widths[l + 1] && p.sees[l][o] <= i) o++;
      seen[l].push_back(o);
    }
  long size = at[L] + V * p.biases, panels = (n + P - 1) / P;
  int threads = std::min<long>(omp_get_max_threads(), panels);
  float* sums = room<4>(threads * size);
  std::fill(sums, sums + threads * size, 0.f);
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    float *mine = sums + omp_get_thread_num() * size, *mine_b = mine + at[L];
    float *one = room<1>(most * P), *two = room<2>(most * P), *turned = room<3>((most + V) * P);
#pragma omp for schedule(static)
    for (long c = 0; c < panels; c++) {
      const float* panel = kept + c * p.units * P;
      float *here = one, *below = two;
      load(g, n, c * P, p.written, O, here);
      for (int l = L - 1; l >= 0; l--) {
        int I = p.widths[l], many = p.widths[l + 1], wide = p.wide(l);
        const float *W = held + p.at[l], *in = panel + p.from[l] * P;
        turn(in, I, P, P / V, turned, wide);
        for (int o = 0; o < many; o += TALL) {
          int tall = std::min(TALL, many - o), pieces = (p.sees[l][o + tall - 1] + V - 1) / V;
          float* C = mine + at[l] + long(o) * wide;
          for (int w = 0; w < pieces; w += 4) {
            const float* B = turned + V * w;
            product<true, false>(tall, std::min(4, pieces - w), here + o * P, P, &B, 1, wide, P, C + V * w, wide, nullptr, false);
          }
        }
        for (int o = 0; o < many; o++) sum_up(here + o * P, P / V, mine_b + V * (p.bias[l] + o));
        for (int i = 0; i < I; i += TALL) {
          int tall = std::min(TALL, I - i), first = seen[l][i];
          float *C = below + i * P, *B = here + first * P;
          product<false, true>(tall, 4, W + long(first) * I + i, I, &B, 1, P, many - first, C, P, nullptr, false);
          if (l) relu_back(C, in + i * P, tall * P / V);
        }
        std::swap(here, below);
      }
      store(here, p.widths[0], p.read, at_x, n, c * P);
    }
  }
  for (int t = 1; t < threads; t++)
    for (long j = 0; j < size; j++) sums[j] += sums[t * size + j];
  // W and b of one layer after those of the other.
  float* to = found;
  for (int l = 0; l < L; l++) {
    int I = p.widths[l], many = p.widths[l + 1], wide = p.wide(l);
    float* b = to + long(many) * I;
    for (int o = 0; o < many; o++) {
      int row = l == L - 1 ? p.written[o] : o, s = p.sees[l][o];
      const float* from = sums + at[l] + long(o) * wide;
      float* C = to + long(row) * I;
      memset(C, 0, I * sizeof(float));
      if (l == 0)
        for (int i = 0; i < s; i++) C[p.read[i]] = from[i];
      else
        memcpy(C, from, s * sizeof(float));
      b[row] = _mm512_reduce_add_ps(_mm512_loadu_ps(sums + at[L] + V * (p.bias[l] + o)));
    }
    to = b + many;
  }
}
