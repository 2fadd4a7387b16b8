/**
 * What Postfix and Dovecot say, without who, from where and which password. Postfix names sender, recipient and client of every
 * message at its normal level, both name them in warnings and errors, Dovecot 2.3 even a password when doveauth does not answer;
 * neither can be told not to. journald(8) could leave out lines of a unit, but lets through those of processes that have ended
 * when it looks. So both servers write to a pipe, and sed(1) passes on what is left: what went wrong, and its level.
 */

import { HEADER, type RelayLayout, type RenderedFiles } from '../layout.ts';

/** Where the scripts are, below each server's configuration. */
export const LOG_SCRIPT = 'chatmail-log.sed';

/** In extended regular expressions. What can hold spaces goes first. */
const NAMELESS = `\
s#<[A-Za-z0-9+/]{11,}=*>#<...>#g
s#(user|rip|lip|session|sasl_username|sasl_sender)=(<[^>]*>|[^ ,]*)#\\1=...#g
s#[^][ ()<>"',;:=/]+@(\\[[^] ]*\\]|[^][ ()<>"',;:=/]+)#ADDRESS#g
# IPv4 and IPv6; a version has a v or a blank before it and no brackets.
s#\\[[0-9]{1,3}(\\.[0-9]{1,3}){3}\\]#[IP]#g
s#(^|[^0-9.v])[0-9]{1,3}(\\.[0-9]{1,3}){3}#\\1IP#g
s#([0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F.:]*#IP#g
s#[0-9a-fA-F:]*([0-9a-fA-F]::|::[0-9a-fA-F])[0-9a-fA-F.:]*#IP#g
`;

const POSTFIX = `# ${HEADER}
# The journal has a clock and knows the host.
s#^[A-Z][a-z]{2} [ 0-9]{2} [0-9:]{8} [^ ]+ ##
# Start and stop, warnings and worse; what happens to each message is nobody's business.
/^[^ ]+\\[[0-9]+\\]: (warning|error|fatal|panic): |^postfix\\/(master|postfix-script)\\[/!d
# What a client said instead of a command.
s#( from [^ ]*\\[[^]]*\\](:[0-9]+)?): .*#\\1: ...#
s#<[^>]*>?#<...>#g
${NAMELESS}\
# Levels, for the journal.
s#^[^ ]+: (error|fatal|panic): #<3>&#
s#^[^ ]+: warning: #<4>&#
`;

const DOVECOT = `# ${HEADER}
# A key of the account look-up: password, quote, user.
s#(passdb/).*#\\1...#
# Who logs in, from where, and the session, whose name is made of the client's address: dict(USER,IP,<SESSION>).
s#\\b(dict|lua|plain|login|static)\\([^ ]*\\)#\\1(...)#g
${NAMELESS}\
# Levels, for the journal.
s#^([^ ]* )?(Panic|Fatal|Error): #<3>&#
s#^([^ ]* )?Warning: #<4>&#
`;

/** Renders Postfix's script. */
export function renderPostfixLog({ directories }: RelayLayout): RenderedFiles {
  return { [`${directories.postfixConfig}/${LOG_SCRIPT}`]: POSTFIX };
}

/** Renders Dovecot's script. */
export function renderDovecotLog({ directories }: RelayLayout): RenderedFiles {
  return { [`${directories.dovecotConfig}/${LOG_SCRIPT}`]: DOVECOT };
}

/**
 * A command line that runs its input through the script in a directory. Bytes are bytes, so that no part of a password is anything
 * but a character; lines leave at once, but are read in blocks, which `sed -u` would do byte by byte.
 */
export function namelessCommand(directory: string): string {
  return `/usr/bin/env LC_ALL=C /usr/bin/stdbuf -oL /bin/sed -E -f ${directory}/${LOG_SCRIPT}`;
}

/** A command line for ExecStart=: Postfix's master in the foreground, as the unit's main process. */
export function postfixCommand({ directories: { postfixConfig } }: RelayLayout): string {
  return `/bin/bash -c 'exec /usr/lib/postfix/sbin/master -c ${postfixConfig} -s > >(exec ${namelessCommand(postfixConfig)})'`;
}

/** A command line for ExecStart=: Dovecot in the foreground, as the unit's main process. */
export function dovecotCommand({ directories: { dovecotConfig } }: RelayLayout): string {
  return `/bin/bash -c 'exec /usr/sbin/dovecot -F -c ${dovecotConfig}/dovecot.conf 2> >(exec ${namelessCommand(dovecotConfig)})'`;
}
