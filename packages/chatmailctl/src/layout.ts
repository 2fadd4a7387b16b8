/**
 * Where everything of one relay lives and how large it may grow: the whole input of `render/`. A production relay and the
 * throw-away relay of `chatmailctl demo` differ only in the values here, so what the demo shows is what an operator gets.
 */

/** One relay on one host. Paths are absolute, sizes bytes. */
export interface RelayLayout {
  /** What stands after the `@`: a DNS name, or an address literal with its brackets. */
  readonly addressDomain: string;
  /** The name Postfix greets with. */
  readonly hostname: string;
  /** The account that owns all mail; Dovecot's mail processes and our daemons run as it. */
  readonly mailUser: { readonly user: string; readonly group: string };
  /** The only address to listen on; `undefined`: all of the host's. */
  readonly listenAddress: string | undefined;
  readonly ipv4Only: boolean;
  /** TCP ports; `undefined`: not offered. */
  readonly ports: {
    readonly smtp: number;
    readonly submissions: number;
    readonly submission: number | undefined;
    readonly imaps: number;
  };
  /** Ports of 127.0.0.1 that the web server on port 443 passes sessions on to, in the PROXY protocol; `undefined`: none. */
  readonly behindWebServer:
    | { readonly https: number; readonly submissions: number; readonly imaps: number }
    | undefined;
  readonly directories: {
    readonly mailboxes: string;
    readonly postfixConfig: string;
    readonly postfixQueue: string;
    readonly postfixData: string;
    readonly dovecotConfig: string;
    /** Dovecot's own sockets. */
    readonly dovecotRun: string;
    readonly dovecotState: string;
  };
  /** Unix sockets. */
  readonly sockets: {
    /** doveauth's, for Dovecot 2.3. */
    readonly auth: string;
    /** doveauth's, for Dovecot 2.4. */
    readonly http: string;
    /** doveauth's, for the web server. */
    readonly new: string;
    readonly lastlogin: string;
    readonly metadata: string;
    /** The milters; `undefined`: that service runs without one. */
    readonly outgoing: string | undefined;
    readonly incoming: string | undefined;
    readonly sign: string | undefined;
    /** Made by Dovecot for Postfix. */
    readonly sasl: string;
    readonly lmtp: string;
  };
  /** What Dovecot runs or loads of ours. */
  readonly programs: {
    /** `chatmail-quota-expire`. */
    readonly quotaExpire: string;
    /** `chatmail-auth.lua`, for Dovecot 2.4. */
    readonly luaAuth: string;
  };
  readonly certificate: { readonly chain: string; readonly key: string };
  /** Log files; `undefined`: the journal. */
  readonly logs: { readonly postfix: string | undefined; readonly dovecot: string | undefined };
  /** Run Postfix's network-facing processes in a chroot, as Debian does. */
  readonly chroot: boolean;
  /** `none` refuses every recipient of another domain. */
  readonly outbound: 'internet' | 'none';
  /** Where clients are told to reach the operator; empty: nowhere. */
  readonly contact: string;
  readonly imap: {
    /** Offer COMPRESS. Compressed sessions cannot hibernate. */
    readonly compress: boolean;
    /** Record sessions in the mailboxes' directories. */
    readonly rawlog: boolean;
  };
  readonly limits: {
    readonly messageBytes: number;
    readonly mailboxBytes: number;
    readonly recipientsPerMessage: number;
    readonly smtpConnections: number;
    readonly imapConnections: number;
  };
}

/** What matters about the host; read once by `readHostFacts()`, passed to everything that computes. */
export interface HostFacts {
  /** VERSION_ID of /etc/os-release where ID is debian. */
  readonly debian: number | undefined;
  readonly dovecot: '2.3' | '2.4';
  /** As `dovecot --version` says. */
  readonly dovecotVersion: string;
  readonly postfixVersion: string;
  /** MemTotal. */
  readonly memoryBytes: number;
  readonly nginx: {
    readonly installed: boolean;
    readonly streamModule: boolean;
    /** Another site of it is on port 443, so that port cannot be shared with mail. */
    readonly port443Taken?: boolean;
  };
  readonly hasIpv6: boolean;
  /** Where bin/, lua/ and systemd/ of this installation are. */
  readonly programRoot: string;
}

/** One file of a rendered relay. */
export interface RenderedFile {
  /** Absolute. */
  readonly path: string;
  readonly text: string;
  readonly mode: number;
  /** What must be validated and reloaded when it changes. */
  readonly service: 'postfix' | 'dovecot' | 'nginx' | 'systemd' | 'journald' | 'web' | 'sysctl';
}

/** The first words of every file; how `apply` knows its own. */
export const HEADER = 'Written by chatmailctl from chatmail.ini; changes here are lost.';

/** Rendered files: absolute path to text. */
export type RenderedFiles = Readonly<Record<string, string>>;
