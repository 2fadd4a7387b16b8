/*
 * SMTP load: N sessions on 127.0.0.1 send one message over and over, each waiting for the reply before the next.
 * In C and in one thread, because on two cores the generator must not be what is measured.
 *
 *   load -p PORT -n SESSIONS -t SECONDS -f FILE -s SENDER -r RECIPIENT [-l LOGIN]
 *
 * FILE is the content as it stands on the wire: CRLF, dot-stuffed, without the final dot. LOGIN is claimed by XCLIENT
 * (Postfix XCLIENT_README), which gives the milter an {auth_authen} without SASL and TLS in the way.
 * MAIL, RCPT and DATA go out in one write (RFC 2920), as a mail server sends them. The latency is the time from the last byte
 * of the message handed to the kernel to the reply. No message is started after SECONDS; those under way are
 * finished and counted. Prints one line of JSON; anything but the expected reply ends the run with exit code 1.
 */
#define _GNU_SOURCE
#include "measure.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum state { GREETING, EHLO, XCLIENT, EHLO_AGAIN, READY, MAIL, RCPT, DATA, CONTENT, REPLY, DONE };

struct session {
  int fd;
  enum state state;
  size_t sent; /* of the content and its final dot */
  double end_of_data;
  char line[1024];
  size_t line_length;
};

static const char FINAL_DOT[] = ".\r\n";
static const size_t FINAL_DOT_LENGTH = sizeof FINAL_DOT - 1;

static const char *content;
static size_t content_length;
static const char *login;
static char envelope[1024];
static int session_count = 1, ready_count, done_count;
static double start, deadline, last_reply;

static void send_text(struct session *s, const char *text) {
  size_t length = strlen(text);
  /* A command always fits the empty send buffer of a session that waits for its reply. */
  if (send(s->fd, text, length, MSG_NOSIGNAL) != (ssize_t)length) die("send: %s", strerror(errno));
}

static void start_message(struct session *s) {
  s->state = MAIL;
  s->sent = 0;
  send_text(s, envelope);
}

static void send_content(struct session *s) {
  size_t total = content_length + FINAL_DOT_LENGTH;
  while (s->sent < total) {
    int in_dot = s->sent >= content_length;
    const char *from = in_dot ? FINAL_DOT + (s->sent - content_length) : content + s->sent;
    size_t length = in_dot ? total - s->sent : content_length - s->sent;
    ssize_t written = send(s->fd, from, length, MSG_NOSIGNAL | (in_dot ? 0 : MSG_MORE));
    if (written < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (written < 0) die("send: %s", strerror(errno));
    s->sent += written;
  }
  s->end_of_data = now_secs();
  s->state = REPLY;
}

static void expect(const char *line, const char *code, const char *what) {
  if (strncmp(line, code, 3) != 0) die("%s was answered: %s", what, line);
}

/* The last line of a reply. */
static void take_reply(struct session *s, const char *line) {
  char command[512];
  switch (s->state) {
    case GREETING:
      expect(line, "220", "the connection");
      send_text(s, "EHLO bench.invalid\r\n");
      s->state = EHLO;
      break;
    case EHLO:
      expect(line, "250", "EHLO");
      if (login) {
        snprintf(command, sizeof command, "XCLIENT LOGIN=%s\r\n", login);
        send_text(s, command);
        s->state = XCLIENT;
        break;
      }
      s->state = READY;
      ready_count++;
      break;
    case XCLIENT:
      expect(line, "220", "XCLIENT");
      send_text(s, "EHLO bench.invalid\r\n");
      s->state = EHLO_AGAIN;
      break;
    case EHLO_AGAIN:
      expect(line, "250", "EHLO");
      s->state = READY;
      ready_count++;
      break;
    case MAIL:
      expect(line, "250", "MAIL");
      s->state = RCPT;
      break;
    case RCPT:
      expect(line, "250", "RCPT");
      s->state = DATA;
      break;
    case DATA:
      expect(line, "354", "DATA");
      s->state = CONTENT;
      send_content(s);
      break;
    case REPLY:
      expect(line, "250", "the message");
      last_reply = now_secs();
      record_latency(last_reply - s->end_of_data);
      if (last_reply < deadline) {
        start_message(s);
      } else {
        send_text(s, "QUIT\r\n");
        s->state = DONE;
        done_count++;
      }
      break;
    default:
      die("an unexpected line: %s", line);
  }
}

static void receive(struct session *s) {
  char buffer[4096];
  ssize_t length = recv(s->fd, buffer, sizeof buffer, 0);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0) die("the server closed a connection");
  for (ssize_t i = 0; i < length; i++) {
    if (buffer[i] != '\n') {
      if (s->line_length < sizeof s->line - 1) s->line[s->line_length++] = buffer[i];
      continue;
    }
    s->line[s->line_length] = 0;
    s->line_length = 0;
    if (s->line[3] != '-') take_reply(s, s->line);
  }
}

static void open_session(struct session *s, int port) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int on = 1;
  s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s->fd < 0 || connect(s->fd, (struct sockaddr *)&address, sizeof address) != 0)
    die("connect to port %d: %s", port, strerror(errno));
  setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(s->fd, F_SETFL, O_NONBLOCK);
}

static void read_content(const char *path) {
  struct stat status;
  int fd = open(path, O_RDONLY);
  if (fd < 0 || fstat(fd, &status) != 0) die("%s: %s", path, strerror(errno));
  content_length = status.st_size;
  content = mmap(NULL, content_length, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
  if (content == MAP_FAILED) die("%s: %s", path, strerror(errno));
  close(fd);
}

int main(int argc, char **argv) {
  int port = 0, option;
  double seconds = 1;
  const char *sender = "", *recipient = NULL;
  while ((option = getopt(argc, argv, "p:n:t:f:s:r:l:")) != -1) {
    switch (option) {
      case 'p': port = atoi(optarg); break;
      case 'n': session_count = atoi(optarg); break;
      case 't': seconds = atof(optarg); break;
      case 'f': read_content(optarg); break;
      case 's': sender = optarg; break;
      case 'r': recipient = optarg; break;
      case 'l': login = optarg; break;
      default: return 64;
    }
  }
  if (!port || !content || !recipient || session_count < 1) die("see the head of load.c for the options");
  int length = snprintf(envelope, sizeof envelope, "MAIL FROM:<%s> SIZE=%zu\r\nRCPT TO:<%s>\r\nDATA\r\n", sender,
                        content_length, recipient);
  if (length >= (int)sizeof envelope) die("the addresses are too long");

  struct session *sessions = calloc(session_count, sizeof *sessions);
  struct pollfd *polled = calloc(session_count, sizeof *polled);
  if (!sessions || !polled) die("out of memory");
  for (int i = 0; i < session_count; i++) open_session(&sessions[i], port);

  /* A server that hangs must not hang the benchmark. */
  alarm((unsigned)seconds + 120);
  while (done_count < session_count) {
    /* All start together, after the cost of connecting. */
    if (start == 0 && ready_count == session_count) {
      start = now_secs();
      deadline = start + seconds;
      for (int i = 0; i < session_count; i++) start_message(&sessions[i]);
    }
    for (int i = 0; i < session_count; i++) {
      polled[i].fd = sessions[i].state == DONE ? -1 : sessions[i].fd;
      polled[i].events = sessions[i].state == CONTENT ? POLLIN | POLLOUT : POLLIN;
    }
    if (poll(polled, session_count, -1) < 0) die("poll: %s", strerror(errno));
    for (int i = 0; i < session_count; i++) {
      if (polled[i].revents & (POLLIN | POLLHUP | POLLERR)) receive(&sessions[i]);
      if (polled[i].revents & POLLOUT && sessions[i].state == CONTENT) send_content(&sessions[i]);
    }
  }
  print_summary(last_reply - start);
  return 0;
}
