/**
 * The numbers of the milter protocol, version 6, under their upstream names, with name tables for messages and tests.
 * Source: sendmail 8.18 include/libmilter/mfdef.h and mfapi.h; Postfix 3.7 src/milter/milter8.c.
 * Left out on purpose: SMFIR_CONN_FAIL and SMFIR_SHUTDOWN, which make Postfix lose mail or run its default action,
 * and the SMFIP_MDS_* chunk sizes, which Postfix does not support.
 */

/** The protocol version we speak. Older ones lack SMFIP_SKIP, the no-reply flags and the DATA event. */
export const MILTER_VERSION = 6;

/**
 * Largest frame accepted or sent, bytes after the length field: one command byte and 65,535 bytes of data.
 * It is libmilter's own bound (MILTER_CHUNK_SIZE). Postfix sends body chunks of at most 65,535 bytes and cuts a header
 * at 60,000.
 */
export const MAX_FRAME_BYTES = 65_536;
/** Largest body chunk in one frame, bytes (MILTER_CHUNK_SIZE). */
export const MILTER_CHUNK_SIZE = 65_535;

// Commands, MTA to milter.
export const SMFIC_ABORT = 0x41; // A
export const SMFIC_BODY = 0x42; // B
export const SMFIC_CONNECT = 0x43; // C
export const SMFIC_MACRO = 0x44; // D
export const SMFIC_BODYEOB = 0x45; // E
export const SMFIC_HELO = 0x48; // H
export const SMFIC_QUIT_NC = 0x4b; // K: this SMTP client is done, another follows on the same milter connection
export const SMFIC_HEADER = 0x4c; // L
export const SMFIC_MAIL = 0x4d; // M
export const SMFIC_EOH = 0x4e; // N
export const SMFIC_OPTNEG = 0x4f; // O
export const SMFIC_QUIT = 0x51; // Q
export const SMFIC_RCPT = 0x52; // R
export const SMFIC_DATA = 0x54; // T
export const SMFIC_UNKNOWN = 0x55; // U

// Replies and modifications, milter to MTA.
export const SMFIR_ADDRCPT = 0x2b; // +
export const SMFIR_DELRCPT = 0x2d; // -
export const SMFIR_ADDRCPT_PAR = 0x32; // 2
export const SMFIR_ACCEPT = 0x61; // a
export const SMFIR_REPLBODY = 0x62; // b
export const SMFIR_CONTINUE = 0x63; // c
export const SMFIR_DISCARD = 0x64; // d
export const SMFIR_CHGFROM = 0x65; // e
export const SMFIR_ADDHEADER = 0x68; // h
export const SMFIR_INSHEADER = 0x69; // i
export const SMFIR_CHGHEADER = 0x6d; // m
export const SMFIR_PROGRESS = 0x70; // p
export const SMFIR_QUARANTINE = 0x71; // q
export const SMFIR_REJECT = 0x72; // r
export const SMFIR_SKIP = 0x73; // s
export const SMFIR_TEMPFAIL = 0x74; // t
export const SMFIR_REPLYCODE = 0x79; // y

// Actions: what the milter may do to a message at its end.
export const SMFIF_ADDHDRS = 0x1;
export const SMFIF_CHGBODY = 0x2;
export const SMFIF_ADDRCPT = 0x4;
export const SMFIF_DELRCPT = 0x8;
export const SMFIF_CHGHDRS = 0x10;
export const SMFIF_QUARANTINE = 0x20;
export const SMFIF_CHGFROM = 0x40;
export const SMFIF_ADDRCPT_PAR = 0x80;
/** The milter may name the macros it wants in its negotiation answer. */
export const SMFIF_SETSYMLIST = 0x100;

// Protocol steps: events the MTA leaves out (NO*), does not wait for a reply to (NR_*), and a few variations.
export const SMFIP_NOCONNECT = 0x1;
export const SMFIP_NOHELO = 0x2;
export const SMFIP_NOMAIL = 0x4;
export const SMFIP_NORCPT = 0x8;
export const SMFIP_NOBODY = 0x10;
export const SMFIP_NOHDRS = 0x20;
export const SMFIP_NOEOH = 0x40;
export const SMFIP_NR_HDR = 0x80;
export const SMFIP_NOUNKNOWN = 0x100;
export const SMFIP_NODATA = 0x200;
/** SMFIR_SKIP is understood: no more body chunks of this message. */
export const SMFIP_SKIP = 0x400;
/** Recipients the MTA itself refuses are shown too. */
export const SMFIP_RCPT_REJ = 0x800;
export const SMFIP_NR_CONN = 0x1000;
export const SMFIP_NR_HELO = 0x2000;
export const SMFIP_NR_MAIL = 0x4000;
export const SMFIP_NR_RCPT = 0x8000;
export const SMFIP_NR_DATA = 0x1_0000;
export const SMFIP_NR_UNKN = 0x2_0000;
export const SMFIP_NR_EOH = 0x4_0000;
export const SMFIP_NR_BODY = 0x8_0000;
/** Header values come, and go, with the space after the colon as it was sent. */
export const SMFIP_HDR_LEADSPC = 0x10_0000;

/** Names of the command bytes, as in upstream's headers. */
export const COMMAND_NAMES: ReadonlyMap<number, string> = new Map([
  [SMFIC_ABORT, 'SMFIC_ABORT'],
  [SMFIC_BODY, 'SMFIC_BODY'],
  [SMFIC_CONNECT, 'SMFIC_CONNECT'],
  [SMFIC_MACRO, 'SMFIC_MACRO'],
  [SMFIC_BODYEOB, 'SMFIC_BODYEOB'],
  [SMFIC_HELO, 'SMFIC_HELO'],
  [SMFIC_QUIT_NC, 'SMFIC_QUIT_NC'],
  [SMFIC_HEADER, 'SMFIC_HEADER'],
  [SMFIC_MAIL, 'SMFIC_MAIL'],
  [SMFIC_EOH, 'SMFIC_EOH'],
  [SMFIC_OPTNEG, 'SMFIC_OPTNEG'],
  [SMFIC_QUIT, 'SMFIC_QUIT'],
  [SMFIC_RCPT, 'SMFIC_RCPT'],
  [SMFIC_DATA, 'SMFIC_DATA'],
  [SMFIC_UNKNOWN, 'SMFIC_UNKNOWN'],
]);

/** Names of the reply bytes, as in upstream's headers. */
export const REPLY_NAMES: ReadonlyMap<number, string> = new Map([
  [SMFIR_ADDRCPT, 'SMFIR_ADDRCPT'],
  [SMFIR_DELRCPT, 'SMFIR_DELRCPT'],
  [SMFIR_ADDRCPT_PAR, 'SMFIR_ADDRCPT_PAR'],
  [SMFIR_ACCEPT, 'SMFIR_ACCEPT'],
  [SMFIR_REPLBODY, 'SMFIR_REPLBODY'],
  [SMFIR_CONTINUE, 'SMFIR_CONTINUE'],
  [SMFIR_DISCARD, 'SMFIR_DISCARD'],
  [SMFIR_CHGFROM, 'SMFIR_CHGFROM'],
  [SMFIR_ADDHEADER, 'SMFIR_ADDHEADER'],
  [SMFIR_INSHEADER, 'SMFIR_INSHEADER'],
  [SMFIR_CHGHEADER, 'SMFIR_CHGHEADER'],
  [SMFIR_PROGRESS, 'SMFIR_PROGRESS'],
  [SMFIR_QUARANTINE, 'SMFIR_QUARANTINE'],
  [SMFIR_REJECT, 'SMFIR_REJECT'],
  [SMFIR_SKIP, 'SMFIR_SKIP'],
  [SMFIR_TEMPFAIL, 'SMFIR_TEMPFAIL'],
  [SMFIR_REPLYCODE, 'SMFIR_REPLYCODE'],
]);

const ACTION_NAMES: readonly (readonly [number, string])[] = [
  [SMFIF_ADDHDRS, 'SMFIF_ADDHDRS'],
  [SMFIF_CHGBODY, 'SMFIF_CHGBODY'],
  [SMFIF_ADDRCPT, 'SMFIF_ADDRCPT'],
  [SMFIF_DELRCPT, 'SMFIF_DELRCPT'],
  [SMFIF_CHGHDRS, 'SMFIF_CHGHDRS'],
  [SMFIF_QUARANTINE, 'SMFIF_QUARANTINE'],
  [SMFIF_CHGFROM, 'SMFIF_CHGFROM'],
  [SMFIF_ADDRCPT_PAR, 'SMFIF_ADDRCPT_PAR'],
  [SMFIF_SETSYMLIST, 'SMFIF_SETSYMLIST'],
];

/** Names of the actions in a bit mask, for messages: `SMFIF_ADDHDRS+SMFIF_CHGHDRS`. */
export function formatActions(mask: number): string {
  const names = ACTION_NAMES.filter(([bit]) => (mask & bit) !== 0).map(([, name]) => name);
  return names.length === 0 ? 'none' : names.join('+');
}
