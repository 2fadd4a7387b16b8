/*
 * What the load generators share: the clock, latencies and their summary as JSON, a clear end on errors.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

__attribute__((format(printf, 1, 2), noreturn)) static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  exit(1);
}

static inline double now_secs(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + time.tv_nsec / 1e9;
}

/* Every latency is kept: a p99 out of buckets would be a guess. */
static struct {
  float *secs;
  size_t count, room;
} latencies;

static void record_latency(double secs) {
  if (latencies.count == latencies.room) {
    latencies.room = latencies.room ? latencies.room * 2 : 1 << 16;
    latencies.secs = realloc(latencies.secs, latencies.room * sizeof *latencies.secs);
    if (!latencies.secs) die("out of memory");
  }
  latencies.secs[latencies.count++] = (float)secs;
}

static int compare_floats(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* The smallest latency that `share` of all do not exceed, ms. */
static double percentile_ms(double share) {
  size_t rank = (size_t)(share * latencies.count);
  if (rank >= latencies.count) rank = latencies.count - 1;
  return latencies.secs[rank] * 1000.0;
}

static void print_summary(double elapsed_secs) {
  if (latencies.count == 0) die("nothing was answered");
  qsort(latencies.secs, latencies.count, sizeof *latencies.secs, compare_floats);
  printf("{\"count\":%zu,\"secs\":%.6f,\"perSecond\":%.3f,\"p50Ms\":%.4f,\"p99Ms\":%.4f,\"maxMs\":%.4f}\n",
         latencies.count, elapsed_secs, latencies.count / elapsed_secs, percentile_ms(0.50), percentile_ms(0.99),
         percentile_ms(1.0));
}
