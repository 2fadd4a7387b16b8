/*
 * Dict load: N connections send requests, each waiting for its reply line before the next (Dovecot does the same).
 *
 *   dict-load -u SOCKET -d DICT -n CONNECTIONS -t SECONDS -q REQUEST [-b FIRST] [-m MODULO] [-e REPLY] [-w MS] [-c COUNT] [-F]
 *
 * REQUEST is sent as it is, with every %u replaced by the request's number, in eight digits: FIRST, FIRST + 1, ..., or
 * with -m spread over 0 .. MODULO - 1. A reply line must start with REPLY (default: O). -F opens a connection
 * for each request, as Dovecot's processes do by default; its latency includes connecting. -w lets every connection pause
 * after a reply: a load below the most that goes. -c ends the run after COUNT requests, if SECONDS are not over before.
 * Prints one line of JSON; a wrong reply ends the run with exit code 1.
 */
#define _GNU_SOURCE
#include "measure.h"
#include <fcntl.h>
#include <getopt.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct connection {
  int fd;
  double sent_at;
  double due_at; /* of the next request; 0 while a reply is awaited */
  int in_reply;  /* the start of the reply has been seen */
};

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char hello[256];
static const char *request, *expected = "O";
static unsigned long first, modulo, number, most = -1ul;
static int fresh, epoll_fd, open_count;
static double start, deadline, last_reply, pause_secs;

/* Writes the next request behind `prefix`; returns the length. */
static size_t next_request(char *buffer, size_t room, const char *prefix) {
  unsigned long n = first + number++;
  /* A prime stride: neighbours in time are not neighbours in the directory. */
  if (modulo) n = n * 7919 % modulo;
  size_t length = snprintf(buffer, room, "%s", prefix);
  for (const char *at = request; *at && length + 16 < room;) {
    if (at[0] == '%' && at[1] == 'u') {
      length += snprintf(buffer + length, room - length, "%08lu", n);
      at += 2;
    } else {
      buffer[length++] = *at++;
    }
  }
  return length;
}

static void send_request(struct connection *c, const char *prefix) {
  char buffer[8192];
  size_t length = next_request(buffer, sizeof buffer, prefix);
  if (send(c->fd, buffer, length, MSG_NOSIGNAL) != (ssize_t)length) die("send: %s", strerror(errno));
}

static void open_connection(struct connection *c) {
  c->sent_at = now_secs();
  c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0)
    die("connect to %s: %s", address.sun_path, strerror(errno));
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
  if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0) die("epoll: %s", strerror(errno));
}

static void ask_again(struct connection *c) {
  c->due_at = 0;
  if (fresh) {
    open_connection(c);
    send_request(c, hello);
  } else {
    c->sent_at = now_secs();
    send_request(c, "");
  }
}

static void take_reply(struct connection *c) {
  last_reply = now_secs();
  record_latency(last_reply - c->sent_at);
  c->in_reply = 0;
  int again = last_reply < deadline && number < most;
  if (fresh || !again) close(c->fd);
  if (!again) {
    open_count--;
  } else if (pause_secs > 0) {
    c->due_at = last_reply + pause_secs;
  } else {
    ask_again(c);
  }
}

static void receive(struct connection *c) {
  char buffer[4096];
  ssize_t length = recv(c->fd, buffer, sizeof buffer, 0);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) die("the server closed a connection");
  if (!c->in_reply && strncmp(buffer, expected, strlen(expected)) != 0)
    die("a request was answered: %.*s", (int)length, buffer);
  c->in_reply = 1;
  if (buffer[length - 1] == '\n') take_reply(c);
}

int main(int argc, char **argv) {
  int option, count = 1;
  double seconds = 1;
  const char *dict = "bench";
  while ((option = getopt(argc, argv, "u:d:n:t:q:b:m:e:w:c:F")) != -1) {
    switch (option) {
      case 'u': snprintf(address.sun_path, sizeof address.sun_path, "%s", optarg); break;
      case 'd': dict = optarg; break;
      case 'n': count = atoi(optarg); break;
      case 't': seconds = atof(optarg); break;
      case 'q': request = optarg; break;
      case 'b': first = strtoul(optarg, NULL, 10); break;
      case 'm': modulo = strtoul(optarg, NULL, 10); break;
      case 'e': expected = optarg; break;
      case 'w': pause_secs = atof(optarg) / 1000; break;
      case 'c': most = strtoul(optarg, NULL, 10); break;
      case 'F': fresh = 1; break;
      default: return 64;
    }
  }
  if (!address.sun_path[0] || !request || count < 1) die("see the head of dict-load.c for the options");
  snprintf(hello, sizeof hello, "H3\t2\t0\t\t%s\n", dict);

  struct connection *connections = calloc(count, sizeof *connections);
  if (!connections) die("out of memory");
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  for (int i = 0; i < count; i++) open_connection(&connections[i]);
  open_count = count;

  /* A server that hangs must not hang the benchmark. */
  alarm((unsigned)seconds + 60);
  start = now_secs();
  deadline = start + seconds;
  for (int i = 0; i < count; i++) {
    connections[i].sent_at = now_secs();
    send_request(&connections[i], hello);
  }
  while (open_count > 0) {
    struct epoll_event events[256];
    int ready = epoll_wait(epoll_fd, events, 256, pause_secs > 0 ? 1 : -1);
    if (ready < 0) die("epoll_wait: %s", strerror(errno));
    for (int i = 0; i < ready; i++) receive(events[i].data.ptr);
    double now = now_secs();
    for (int i = 0; pause_secs > 0 && i < count; i++)
      if (connections[i].due_at > 0 && connections[i].due_at <= now) ask_again(&connections[i]);
  }
  print_summary(last_reply - start);
  return 0;
}
