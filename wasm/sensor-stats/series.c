#include "series.h"
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <wasm_simd128.h>

static double lanes(v128_t pair) { return wasm_f64x2_extract_lane(pair, 0) + wasm_f64x2_extract_lane(pair, 1); }

double series_mean(const double *values, size_t count) {
  /* Scaled before they are added, so that the sum of huge values does not overflow. */
  double share = 1.0 / (double)count, rest = 0;
  v128_t sum = wasm_f64x2_splat(0), scale = wasm_f64x2_splat(share);
  size_t i = 0;
  for (; i + 2 <= count; i += 2) sum = wasm_f64x2_add(sum, wasm_f64x2_mul(wasm_v128_load(values + i), scale));
  for (; i < count; i++) rest += values[i] * share;
  double rough = lanes(sum) + rest;
  /* A second pass over the differences takes away most of what the first one rounded. */
  v128_t centre = wasm_f64x2_splat(rough);
  sum = wasm_f64x2_splat(0);
  rest = 0;
  for (i = 0; i + 2 <= count; i += 2) sum = wasm_f64x2_add(sum, wasm_f64x2_sub(wasm_v128_load(values + i), centre));
  for (; i < count; i++) rest += values[i] - rough;
  double refined = rough + (lanes(sum) + rest) * share;
  return isfinite(refined) ? refined : rough;
}

double series_products(const double *a, double a_mean, const double *b, double b_mean, size_t count) {
  v128_t sum = wasm_f64x2_splat(0), a_centre = wasm_f64x2_splat(a_mean), b_centre = wasm_f64x2_splat(b_mean);
  double rest = 0;
  size_t i = 0;
  for (; i + 2 <= count; i += 2)
    sum = wasm_f64x2_add(sum, wasm_f64x2_mul(wasm_f64x2_sub(wasm_v128_load(a + i), a_centre), wasm_f64x2_sub(wasm_v128_load(b + i), b_centre)));
  for (; i < count; i++) rest += (a[i] - a_mean) * (b[i] - b_mean);
  return lanes(sum) + rest;
}

double series_deviation_squares(const double *values, size_t count, double mean) { return series_products(values, mean, values, mean, count); }

void series_range(const double *values, size_t count, double *min, double *max) {
  v128_t low = wasm_f64x2_splat(values[0]), high = low;
  size_t i = 0;
  for (; i + 2 <= count; i += 2) {
    v128_t pair = wasm_v128_load(values + i);
    low = wasm_f64x2_pmin(low, pair);
    high = wasm_f64x2_pmax(high, pair);
  }
  *min = fmin(wasm_f64x2_extract_lane(low, 0), wasm_f64x2_extract_lane(low, 1));
  *max = fmax(wasm_f64x2_extract_lane(high, 0), wasm_f64x2_extract_lane(high, 1));
  for (; i < count; i++) {
    *min = fmin(*min, values[i]);
    *max = fmax(*max, values[i]);
  }
}

void series_distances(const double *values, size_t count, double centre, double *into) {
  v128_t middle = wasm_f64x2_splat(centre);
  size_t i = 0;
  for (; i + 2 <= count; i += 2) wasm_v128_store(into + i, wasm_f64x2_abs(wasm_f64x2_sub(wasm_v128_load(values + i), middle)));
  for (; i < count; i++) into[i] = fabs(values[i] - centre);
}

/* Doubles sort as whole numbers once negative ones are turned over and the others moved above them. */
static uint64_t rank_of(uint64_t bits) { return bits & (1ull << 63) ? ~bits : bits | (1ull << 63); }
static uint64_t bits_of(uint64_t rank) { return rank & (1ull << 63) ? rank & ~(1ull << 63) : ~rank; }

void series_sort(double *values, double *spare, size_t count) {
  static size_t starts[8][256];
  uint64_t *from = (uint64_t *)values, *to = (uint64_t *)spare;
  memset(starts, 0, sizeof starts);
  for (size_t i = 0; i < count; i++) {
    uint64_t rank = from[i] = rank_of(from[i]);
    for (int digit = 0; digit < 8; digit++) starts[digit][rank >> (8 * digit) & 255]++;
  }
  for (int digit = 0; digit < 8; digit++) {
    size_t *start = starts[digit], before = 0;
    if (count && start[from[0] >> (8 * digit) & 255] == count) continue; /* all the same in this digit */
    for (int i = 0; i < 256; i++) {
      size_t here = start[i];
      start[i] = before;
      before += here;
    }
    for (size_t i = 0; i < count; i++) to[start[from[i] >> (8 * digit) & 255]++] = from[i];
    uint64_t *other = from;
    from = to;
    to = other;
  }
  for (size_t i = 0; i < count; i++) ((uint64_t *)values)[i] = bits_of(from[i]);
}

double series_quantile(const double *sorted, size_t count, double q) {
  double place = q * (double)(count - 1);
  size_t below = (size_t)place;
  double part = place - (double)below;
  if (part == 0) return sorted[below];
  return sorted[below] * (1 - part) + sorted[below + 1] * part;
}

double series_inversions(double *values, double *spare, size_t count) {
  double inversions = 0; /* exact up to 2^53 pairs */
  for (size_t width = 1; width < count; width *= 2) {
    for (size_t start = 0; start < count; start += 2 * width) {
      size_t left = start, middle = start + width < count ? start + width : count, right = middle;
      size_t end = start + 2 * width < count ? start + 2 * width : count;
      for (size_t i = start; i < end; i++) {
        if (left < middle && (right >= end || values[left] <= values[right])) {
          spare[i] = values[left++];
        } else {
          inversions += (double)(middle - left);
          spare[i] = values[right++];
        }
      }
    }
    memcpy(values, spare, count * sizeof *values);
  }
  return inversions;
}
