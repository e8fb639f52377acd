/* Loaded before the C library, gives a program a clock that is CLOCK_OFF seconds off. Deadlines that are times of that
 * clock are converted to times of the system's own. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

static long off(void) {
  const char *seconds = getenv("CLOCK_OFF");
  return seconds ? atol(seconds) : 0;
}

static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

int clock_gettime(clockid_t clock, struct timespec *now) {
  int (*real)(clockid_t, struct timespec *) = next("clock_gettime");
  int failed = real(clock, now);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += off();
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int (*real)(struct timeval *, void *) = next("gettimeofday");
  int failed = real(now, zone);
  if (!failed) now->tv_sec += off();
  return failed;
}

time_t time(time_t *now) {
  struct timespec precise;
  clock_gettime(CLOCK_REALTIME, &precise);
  if (now) *now = precise.tv_sec;
  return precise.tv_sec;
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict deadline) {
  int (*real)(cnd_t *, mtx_t *, const struct timespec *) = next("cnd_timedwait");
  struct timespec true_deadline = {deadline->tv_sec - off(), deadline->tv_nsec};
  return real(condition, mutex, &true_deadline);
}
