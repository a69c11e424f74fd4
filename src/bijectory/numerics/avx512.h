// What masked.cpp and convnet.cpp share: products of a tile that stays in registers, and transposed squares of 16 × 16 numbers.
#include <immintrin.h>
#include <omp.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace {

constexpr int V = 16;    // numbers of a register
constexpr int TALL = 6;  // rows of a tile: 6 × 4 sums, 4 registers to multiply with and one number stay in the 32 registers

// Room that stays from call to call: taken anew each time, a step met some forty fresh pages.
template <int WHICH>
float* room(long count) {
  static thread_local std::vector<float> kept;
  if (long(kept.size()) < count) kept.resize(count);
  return kept.data();
}

// C (H, W registers) = start, or with ADD itself, + Σ over taps t of A[:, t] B[t]. A (H, taps · depth) has rows that are `step` apart, with
// ACROSS columns; rows of B[t] and C are br and cr apart.
template <int H, int W, bool ADD, bool ACROSS>
inline __attribute__((always_inline)) void tile(const float* A, long step, const float* const* B, int taps, long br, int depth, float* C,
                                                long cr, const float* start, bool relu) {
  __m512 sum[H][W];
  for (int h = 0; h < H; h++)
    for (int w = 0; w < W; w++) sum[h][w] = ADD ? _mm512_loadu_ps(C + h * cr + V * w) : _mm512_set1_ps(start ? start[h] : 0.f);
  for (int t = 0; t < taps; t++, A += ACROSS ? depth * step : depth) {
    const float* from = B[t];
    for (int k = 0; k < depth; k++) {
      __m512 b[W];
      for (int w = 0; w < W; w++) b[w] = _mm512_loadu_ps(from + k * br + V * w);
#pragma GCC unroll 8
      for (int h = 0; h < H; h++) {
        __m512 a = _mm512_set1_ps(ACROSS ? A[h + k * step] : A[h * step + k]);
        for (int w = 0; w < W; w++) sum[h][w] = _mm512_fmadd_ps(a, b[w], sum[h][w]);
      }
    }
  }
  // Of 0 and NaN the second one: NaN has to stay.
  for (int h = 0; h < H; h++)
    for (int w = 0; w < W; w++) _mm512_storeu_ps(C + h * cr + V * w, relu ? _mm512_max_ps(_mm512_setzero_ps(), sum[h][w]) : sum[h][w]);
}

template <int W, bool ADD, bool ACROSS>
inline __attribute__((always_inline)) void strip(int height, const float* A, long step, const float* const* B, int taps, long br, int depth,
                                                 float* C, long cr, const float* start, bool relu) {
  switch (height) {
    case 1: return tile<1, W, ADD, ACROSS>(A, step, B, taps, br, depth, C, cr, start, relu);
    case 2: return tile<2, W, ADD, ACROSS>(A, step, B, taps, br, depth, C, cr, start, relu);
    case 3: return tile<3, W, ADD, ACROSS>(A, step, B, taps, br, depth, C, cr, start, relu);
    case 4: return tile<4, W, ADD, ACROSS>(A, step, B, taps, br, depth, C, cr, start, relu);
    case 5: return tile<5, W, ADD, ACROSS>(A, step, B, taps, br, depth, C, cr, start, relu);
    default: return tile<6, W, ADD, ACROSS>(A, step, B, taps, br, depth, C, cr, start, relu);
  }
}

// A tile of up to 6 rows and 4 registers.
template <bool ADD, bool ACROSS>
inline __attribute__((always_inline)) void product(int rows, int registers, const float* A, long step, const float* const* B, int taps,
                                                   long br, int depth, float* C, long cr, const float* start, bool relu) {
  switch (registers) {
    case 1: return strip<1, ADD, ACROSS>(rows, A, step, B, taps, br, depth, C, cr, start, relu);
    case 2: return strip<2, ADD, ACROSS>(rows, A, step, B, taps, br, depth, C, cr, start, relu);
    case 3: return strip<3, ADD, ACROSS>(rows, A, step, B, taps, br, depth, C, cr, start, relu);
    default: return strip<4, ADD, ACROSS>(rows, A, step, B, taps, br, depth, C, cr, start, relu);
  }
}

inline void transpose(__m512* r) {
  __m512 s[V];
  for (int k = 0; k < 8; k++) {
    s[2 * k] = _mm512_unpacklo_ps(r[2 * k], r[2 * k + 1]);
    s[2 * k + 1] = _mm512_unpackhi_ps(r[2 * k], r[2 * k + 1]);
  }
  for (int k = 0; k < 4; k++) {
    __m512 *from = s + 4 * k, *to = r + 4 * k;
    to[0] = _mm512_shuffle_ps(from[0], from[2], 0x44), to[1] = _mm512_shuffle_ps(from[0], from[2], 0xee);
    to[2] = _mm512_shuffle_ps(from[1], from[3], 0x44), to[3] = _mm512_shuffle_ps(from[1], from[3], 0xee);
  }
  for (int k = 0; k < 2; k++)
    for (int j = 0; j < 4; j++) {
      const __m512* from = r + 8 * k + j;
      s[8 * k + j] = _mm512_shuffle_f32x4(from[0], from[4], 0x88), s[8 * k + j + 4] = _mm512_shuffle_f32x4(from[0], from[4], 0xdd);
    }
  for (int j = 0; j < 8; j++) {
    r[j] = _mm512_shuffle_f32x4(s[j], s[j + 8], 0x88), r[j + 8] = _mm512_shuffle_f32x4(s[j], s[j + 8], 0xdd);
  }
}

// (rows, 16 · registers), rows `step` apart, -> (16 · registers, wide), zeros behind the rows
inline void turn(const float* a, int rows, long step, int registers, float* t, int wide) {
  __m512 r[V];
  for (int i = 0; i < wide; i += V)
    for (int n = 0; n < registers; n++) {
      for (int k = 0; k < V; k++) r[k] = i + k < rows ? _mm512_loadu_ps(a + (i + k) * step + n * V) : _mm512_setzero_ps();
      transpose(r);
      for (int k = 0; k < V; k++) _mm512_storeu_ps(t + (n * V + k) * wide + i, r[k]);
    }
}

// The gradient behind ReLU: 0 where what came out of it was 0.
inline void relu_back(float* g, const float* h, int registers) {
  for (int j = 0; j < registers * V; j += V) {
    __mmask16 off = _mm512_cmp_ps_mask(_mm512_loadu_ps(h + j), _mm512_setzero_ps(), _CMP_LE_OQ);
    _mm512_storeu_ps(g + j, _mm512_mask_blend_ps(off, _mm512_loadu_ps(g + j), _mm512_setzero_ps()));
  }
}

// sums (16) += all registers
inline void sum_up(const float* from, int registers, float* sums) {
  __m512 s = _mm512_loadu_ps(sums);
  for (int k = 0; k < registers; k++) s = _mm512_add_ps(s, _mm512_loadu_ps(from + k * V));
  _mm512_storeu_ps(sums, s);
}

}  // namespace
