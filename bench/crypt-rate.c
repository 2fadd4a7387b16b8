/*
 * How many account passwords one core can hash with crypt(3): SHA512-CRYPT, 5000 rounds, 12 characters. The yardstick for
 * creations of accounts, which cost one such hash each.
 *
 *   crypt-rate SECONDS
 */
#include "measure.h"
#include <crypt.h>

int main(int argc, char **argv) {
  double seconds = argc == 2 ? atof(argv[1]) : 1;
  struct crypt_data state;
  memset(&state, 0, sizeof state);
  double start = now_secs(), before = start, after;
  do {
    char *hash = crypt_r("correct-hors", "$6$0123456789abcdef$", &state);
    if (!hash || strncmp(hash, "$6$", 3) != 0) die("crypt(3) does not know SHA512-CRYPT");
    after = now_secs();
    record_latency(after - before);
    before = after;
  } while (after - start < seconds);
  print_summary(after - start);
  return 0;
}
