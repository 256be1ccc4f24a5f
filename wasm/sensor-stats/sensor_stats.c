/* What a series of sensor readings tells: the tools `summary`, `outliers` and `trend`. A core module, by tidegate's ABI 1. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "series.h"

#define LISTED_OUTLIERS 1000 /* beyond that they are counted, not listed */

typedef struct {
  double *numbers;
  size_t *places; /* where in the request each number stood */
  size_t count, room, missing;
} Series;

typedef struct {
  Series values, times;
  bool has_times;
  double interval, threshold; /* NAN: not given */
  char method[16];
} Arguments;

static Text answer;

/* Memory that is not there ends the call: the host tells the caller. */
static void *room_for(void *old, size_t bytes) {
  void *room = realloc(old, bytes ? bytes : 1);
  if (!room) __builtin_trap();
  return room;
}

static const char *read_series(Cursor *in, Series *series) {
  bool first = true;
  size_t place = 0;
  if (!json_enter(in, '[')) return "`values` and `times` are arrays of numbers";
  for (; json_next_element(in, &first); place++) {
    double number;
    if (json_null(in)) {
      series->missing++;
      continue;
    }
    if (!json_number(in, &number)) return "`values` and `times` hold numbers that a 64-bit float can hold, and null for a missing one";
    if (series->count == series->room) {
      series->room = series->room ? series->room * 2 : 1024;
      series->numbers = room_for(series->numbers, series->room * sizeof(double));
      series->places = room_for(series->places, series->room * sizeof(size_t));
    }
    series->numbers[series->count] = number;
    series->places[series->count++] = place;
  }
  return json_closed(in, ']') ? NULL : "`values` and `times` are arrays of numbers";
}

static bool is(const char *key, size_t bytes, const char *name) { return strlen(name) == bytes && memcmp(key, name, bytes) == 0; }

static const char *read_arguments(Cursor *in, Arguments *to) {
  bool first = true;
  const char *key, *fault;
  size_t bytes;
  if (!json_enter(in, '{')) return "the arguments are no object";
  while (json_next_member(in, &first, &key, &bytes)) {
    if (is(key, bytes, "values")) {
      if ((fault = read_series(in, &to->values))) return fault;
    } else if (is(key, bytes, "times")) {
      if ((fault = read_series(in, &to->times))) return fault;
      to->has_times = true;
    } else if (is(key, bytes, "interval")) {
      if (!json_number(in, &to->interval) || !(to->interval > 0)) return "`interval` is a number above 0";
    } else if (is(key, bytes, "threshold")) {
      if (!json_number(in, &to->threshold) || !(to->threshold > 0)) return "`threshold` is a number above 0";
    } else if (is(key, bytes, "method")) {
      if (!json_short_string(in, to->method, sizeof to->method)) return "`method` is mad, zscore or iqr";
    } else if (!json_skip(in)) {
      return "the arguments are no JSON";
    }
  }
  return json_closed(in, '}') ? NULL : "the arguments are no JSON";
}

static void member(const char *name, double value) {
  text_add(&answer, ",\"");
  text_add(&answer, name);
  text_add(&answer, "\":");
  text_number(&answer, value);
}

static void counts(const Series *values) {
  text_add(&answer, "{\"result\":{\"structuredContent\":{\"count\":");
  text_count(&answer, values->count);
  text_add(&answer, ",\"missing\":");
  text_count(&answer, values->missing);
}

static double *sorted_copy(const Series *values) {
  double *sorted = room_for(NULL, values->count * sizeof(double)), *spare = room_for(NULL, values->count * sizeof(double));
  memcpy(sorted, values->numbers, values->count * sizeof(double));
  series_sort(sorted, spare, values->count);
  free(spare);
  return sorted;
}

/* By n - 1: what was measured is a sample. */
static double sample_sd(const Series *values, double mean) {
  if (values->count < 2) return NAN;
  return sqrt(series_deviation_squares(values->numbers, values->count, mean) / (double)(values->count - 1));
}

static const char *summary(Arguments *asked) {
  Series *values = &asked->values;
  double min, max, mean = series_mean(values->numbers, values->count), *sorted = sorted_copy(values);
  series_range(values->numbers, values->count, &min, &max);
  counts(values);
  member("mean", mean);
  member("sd", sample_sd(values, mean));
  member("min", min);
  member("q1", series_quantile(sorted, values->count, 0.25));
  member("median", series_quantile(sorted, values->count, 0.5));
  member("q3", series_quantile(sorted, values->count, 0.75));
  member("max", max);
  member("first", values->numbers[0]);
  member("last", values->numbers[values->count - 1]);
  text_add(&answer, "}}}");
  return NULL;
}

static const char *outliers(Arguments *asked) {
  Series *values = &asked->values;
  size_t count = values->count;
  const char *method = *asked->method ? asked->method : "mad";
  double centre, spread, low, high, threshold = asked->threshold, *sorted = sorted_copy(values);
  if (strcmp(method, "mad") == 0) {
    if (isnan(threshold)) threshold = 3.5;
    double *distances = room_for(NULL, count * sizeof(double)), *spare = room_for(NULL, count * sizeof(double));
    centre = series_quantile(sorted, count, 0.5);
    series_distances(values->numbers, count, centre, distances);
    series_sort(distances, spare, count);
    spread = 1.482602218505602 * series_quantile(distances, count, 0.5); /* as wide as the sd of what is normally distributed */
    low = centre - threshold * spread;
    high = centre + threshold * spread;
  } else if (strcmp(method, "zscore") == 0) {
    if (isnan(threshold)) threshold = 3;
    centre = series_mean(values->numbers, count);
    spread = count < 2 ? 0 : sample_sd(values, centre);
    low = centre - threshold * spread;
    high = centre + threshold * spread;
  } else if (strcmp(method, "iqr") == 0) {
    if (isnan(threshold)) threshold = 1.5;
    double q1 = series_quantile(sorted, count, 0.25), q3 = series_quantile(sorted, count, 0.75);
    centre = series_quantile(sorted, count, 0.5);
    spread = q3 - q1;
    low = q1 - threshold * spread;
    high = q3 + threshold * spread;
  } else {
    return "`method` is mad, zscore or iqr";
  }
  counts(values);
  text_add(&answer, ",\"method\":\"");
  text_add(&answer, method);
  text_add(&answer, "\"");
  member("threshold", threshold);
  member("centre", centre);
  member("spread", spread);
  member("low", low);
  member("high", high);
  text_add(&answer, ",\"outliers\":[");
  size_t found = 0;
  for (size_t i = 0; i < count; i++) {
    if (values->numbers[i] >= low && values->numbers[i] <= high) continue;
    if (found++ >= LISTED_OUTLIERS) continue;
    text_add(&answer, found > 1 ? ",{\"index\":" : "{\"index\":");
    text_count(&answer, values->places[i]);
    member("value", values->numbers[i]);
    text_add(&answer, "}");
  }
  text_add(&answer, "],\"found\":");
  text_count(&answer, found);
  text_add(&answer, "}}}");
  return NULL;
}

/* Mann-Kendall: whether later values tend to be larger, whatever the shape. Ties are corrected for. */
static void mann_kendall(const Series *values, double *tau, double *z) {
  double n = (double)values->count, pairs = n * (n - 1) / 2, tied = 0, variance = n * (n - 1) * (2 * n + 5);
  double *ordered = room_for(NULL, values->count * sizeof(double)), *spare = room_for(NULL, values->count * sizeof(double));
  memcpy(ordered, values->numbers, values->count * sizeof(double));
  double falling = series_inversions(ordered, spare, values->count);
  for (size_t i = 0, run = 1; i < values->count; i++) {
    if (i + 1 < values->count && ordered[i] == ordered[i + 1]) {
      run++;
    } else {
      double t = (double)run;
      tied += t * (t - 1) / 2;
      variance -= t * (t - 1) * (2 * t + 5);
      run = 1;
    }
  }
  double s = pairs - tied - 2 * falling;
  *tau = pairs - tied > 0 ? s / (pairs - tied) : 0;
  *z = variance > 0 && s != 0 ? (s > 0 ? s - 1 : s + 1) / sqrt(variance / 18) : 0;
}

static const char *trend(Arguments *asked) {
  Series *values = &asked->values;
  size_t count = values->count;
  double *times = room_for(NULL, count * sizeof(double)), interval = isnan(asked->interval) ? 1 : asked->interval;
  if (count < 3) return "a trend needs three values";
  if (asked->has_times) {
    if (asked->times.missing || asked->times.count != count + values->missing) return "`times` has one number for each value";
    for (size_t i = 0; i < count; i++) {
      times[i] = asked->times.numbers[values->places[i]];
      if (i && !(times[i] > times[i - 1])) return "`times` must rise from each value to the next";
    }
  } else {
    for (size_t i = 0; i < count; i++) times[i] = (double)values->places[i] * interval;
  }
  double time_mean = series_mean(times, count), mean = series_mean(values->numbers, count), tau, z;
  double time_squares = series_deviation_squares(times, count, time_mean), squares = series_deviation_squares(values->numbers, count, mean);
  double products = series_products(times, time_mean, values->numbers, mean, count), slope = products / time_squares;
  mann_kendall(values, &tau, &z);
  double p = erfc(fabs(z) / sqrt(2));
  counts(values);
  member("slope", slope);
  member("intercept", mean - slope * time_mean);
  member("r2", squares > 0 ? products / time_squares * products / squares : 0);
  member("tau", tau);
  member("p", p);
  text_add(&answer, ",\"direction\":\"");
  text_add(&answer, p >= 0.05 ? "none" : tau > 0 ? "rising" : "falling");
  text_add(&answer, "\"}}}");
  return NULL;
}

static const char *serve(Cursor in) {
  Arguments asked = {.interval = NAN, .threshold = NAN};
  Cursor arguments = {0};
  char call[16] = "";
  bool first = true;
  const char *key, *fault;
  size_t bytes;
  if (!json_enter(&in, '{')) return "the request is no object";
  while (json_next_member(&in, &first, &key, &bytes)) {
    if (is(key, bytes, "call")) {
      if (!json_short_string(&in, call, sizeof call)) return "there is no such tool";
    } else {
      Cursor here = in;
      if (!json_skip(&in)) return "the request is no JSON";
      if (is(key, bytes, "arguments")) arguments = here;
    }
  }
  if (!arguments.at) return "there are no arguments";
  if ((fault = read_arguments(&arguments, &asked))) return fault;
  if (asked.values.count == 0) return "`values` has no number";
  if (strcmp(call, "summary") == 0) return summary(&asked);
  if (strcmp(call, "outliers") == 0) return outliers(&asked);
  if (strcmp(call, "trend") == 0) return trend(&asked);
  return "there is no such tool";
}

/* One more byte than asked for: strtod stops at the zero behind the text. */
__attribute__((export_name("tidegate_alloc"))) char *tidegate_alloc(size_t bytes) { return calloc(bytes + 1, 1); }

__attribute__((export_name("tidegate_call"))) uint64_t tidegate_call(const char *request, size_t bytes) {
  const char *fault = serve((Cursor){request, request + bytes});
  if (fault) {
    answer.used = 0;
    text_add(&answer, "{\"error\":\"");
    text_add(&answer, fault);
    text_add(&answer, "\"}");
  }
  return (uint64_t)(uintptr_t)answer.bytes << 32 | answer.used;
}
