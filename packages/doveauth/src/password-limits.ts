/**
 * How long a password may be. Apart from the hashing, so that who only compares lengths loads no cryptography.
 */

/** Longest password hashed, bytes. The work grows with the length (and once with its square): 1024 take about 40 ms. */
export const MAX_PASSWORD_BYTES = 1024;

/** Longest password crypt(3) of libxcrypt takes, bytes (CRYPT_MAX_PASSPHRASE_SIZE less the NUL): Dovecot calls no longer
 * password right, whatever its hash. */
export const MAX_CRYPT3_PASSWORD_BYTES = 511;
