/**
 * What the daemons share: configuration, addresses, mailbox layout, durable files, listening, logging, metrics, life cycle.
 */

export { formatDcaccountUrl, formatDcloginUrl } from './account-links.ts';
export { type Address, isAddressLiteral, isIpv4, parseAddress, parseDomain } from './address.ts';
export { type AtomicFileOptions, syncDirectory, writeFileAtomic, writeNewFile } from './atomic-file.ts';
export { type Config, differingKeys, parseConfig } from './config.ts';
export { CONFIG_PATHS, findConfigFile, loadConfig } from './config-file.ts';
export { formatConfigManual, formatSampleConfig } from './config-text.ts';
export {
  type DaemonContext,
  type DaemonDescription,
  type DaemonServer,
  httpDaemonServer,
  runDaemon,
  type Service,
} from './daemon.ts';
export {
  ConfigError,
  EXIT_BUG,
  EXIT_CONFIG,
  EXIT_OK,
  EXIT_TEMPORARY,
  EXIT_USAGE,
  ExitError,
  exitCodeOf,
  UsageError,
} from './errors.ts';
export {
  createInvitation,
  type Invitation,
  type InvitationTerms,
  invitationId,
  invitationsPath,
  invitationUsesPath,
  listInvitations,
  purgeInvitations,
  readInvitation,
  revokeInvitation,
} from './invitations.ts';
export { formatListenAddress, type ListenAddress, listen, parseListenAddress } from './listen.ts';
export { createLogger, type LogFields, type Logger, type LogLevel } from './log.ts';
export { ENFORCE_E2EE_FILE, enforceE2eePath, mailboxPath, PASSWORD_FILE, passwordPath } from './mailbox.ts';
export { type AccountToken, forgetAccounts, METADATA_SOCKET, restoreDeviceTokens } from './metadata-socket.ts';
export { type Counter, createMetrics, type Histogram, type Metrics, NO_METRICS } from './metrics.ts';
export { isPublicAddress } from './public-address.ts';
export { packageVersion } from './version.ts';
