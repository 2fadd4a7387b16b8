/*
 * A milter that does nothing, on libmilter: what any milter costs. It receives what filtermail receives (connection,
 * envelope, headers, body) and looks at none of it.
 *
 *   null-milter SOCKET no-reply|plain
 *
 * no-reply: replies to nothing before the end of the message, the cheapest a milter can be. plain: replies to each
 * event, as milters that do not negotiate do.
 */
#include <libmilter/mfapi.h>
#include <stdio.h>
#include <string.h>

static sfsistat on_connect(SMFICTX *context, char *name, _SOCK_ADDR *address) {
  (void)context, (void)name, (void)address;
  return SMFIS_CONTINUE;
}

static sfsistat on_envelope(SMFICTX *context, char **arguments) {
  (void)context, (void)arguments;
  return SMFIS_CONTINUE;
}

static sfsistat on_header(SMFICTX *context, char *name, char *value) {
  (void)context, (void)name, (void)value;
  return SMFIS_CONTINUE;
}

static sfsistat on_end(SMFICTX *context) {
  (void)context;
  return SMFIS_CONTINUE;
}

static sfsistat on_body(SMFICTX *context, unsigned char *bytes, size_t length) {
  (void)context, (void)bytes, (void)length;
  return SMFIS_CONTINUE;
}

/* libmilter wants the callback of a no-reply event to say so. */
static sfsistat on_connect_quiet(SMFICTX *context, char *name, _SOCK_ADDR *address) {
  (void)context, (void)name, (void)address;
  return SMFIS_NOREPLY;
}

static sfsistat on_envelope_quiet(SMFICTX *context, char **arguments) {
  (void)context, (void)arguments;
  return SMFIS_NOREPLY;
}

static sfsistat on_header_quiet(SMFICTX *context, char *name, char *value) {
  (void)context, (void)name, (void)value;
  return SMFIS_NOREPLY;
}

static sfsistat on_end_of_headers_quiet(SMFICTX *context) {
  (void)context;
  return SMFIS_NOREPLY;
}

static sfsistat on_body_quiet(SMFICTX *context, unsigned char *bytes, size_t length) {
  (void)context, (void)bytes, (void)length;
  return SMFIS_NOREPLY;
}

static sfsistat negotiate_quiet(SMFICTX *context, unsigned long offered_actions, unsigned long offered_steps,
                                unsigned long unused2, unsigned long unused3, unsigned long *actions,
                                unsigned long *steps, unsigned long *reserved2, unsigned long *reserved3) {
  (void)context, (void)offered_actions, (void)unused2, (void)unused3;
  *actions = 0;
  *steps = SMFIP_NOHELO | SMFIP_NODATA | SMFIP_NOUNKNOWN | SMFIP_NR_CONN | SMFIP_NR_MAIL | SMFIP_NR_RCPT |
           SMFIP_NR_HDR | SMFIP_NR_EOH | SMFIP_NR_BODY;
  *reserved2 = *reserved3 = 0;
  if ((offered_steps & *steps) != *steps) {
    fputs("the MTA does not offer to go without replies\n", stderr);
    return SMFIS_REJECT;
  }
  return SMFIS_CONTINUE;
}

int main(int argc, char **argv) {
  struct smfiDesc milter = {.xxfi_name = "null-milter", .xxfi_version = SMFI_VERSION};
  char socket_name[256];
  if (argc != 3) return 64;
  if (strcmp(argv[2], "no-reply") == 0) {
    milter.xxfi_connect = on_connect_quiet;
    milter.xxfi_envfrom = on_envelope_quiet;
    milter.xxfi_envrcpt = on_envelope_quiet;
    milter.xxfi_header = on_header_quiet;
    milter.xxfi_eoh = on_end_of_headers_quiet;
    milter.xxfi_body = on_body_quiet;
    milter.xxfi_negotiate = negotiate_quiet;
  } else {
    milter.xxfi_connect = on_connect;
    milter.xxfi_envfrom = on_envelope;
    milter.xxfi_envrcpt = on_envelope;
    milter.xxfi_header = on_header;
    milter.xxfi_eoh = on_end;
    milter.xxfi_body = on_body;
  }
  milter.xxfi_eom = on_end;
  snprintf(socket_name, sizeof socket_name, "unix:%s", argv[1]);
  if (smfi_register(milter) != MI_SUCCESS || smfi_setconn(socket_name) != MI_SUCCESS ||
      smfi_opensocket(1) != MI_SUCCESS) {
    fputs("libmilter does not start\n", stderr);
    return 1;
  }
  puts("ready");
  fflush(stdout);
  return smfi_main() == MI_SUCCESS ? 0 : 1;
}
