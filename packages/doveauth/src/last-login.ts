/**
 * When an account was last used, kept as the mtime of its password file and only to the day: enough to expire unused
 * accounts, too little to tell when somebody is awake. Days are those of UTC.
 */

const DAY_SECONDS = 86_400;

/** The beginning of the day that holds a time; both in seconds since the epoch. */
export function startOfDay(seconds: number): number {
  return Math.floor(seconds / DAY_SECONDS) * DAY_SECONDS;
}

/**
 * Decides the new last login, seconds since the epoch.
 *
 * @param value what Dovecot's last_login plugin wrote: decimal seconds
 * @param current what is recorded now, seconds
 * @returns undefined when the record is to stay: nothing new, or a value that is no number, negative or in the future
 */
export function planLastLogin(value: Buffer, current: number, nowSeconds: number): number | undefined {
  const text = value.toString('latin1');
  const seconds = Number(text);
  if (!/^\d{1,12}$/.test(text) || seconds > nowSeconds) return undefined;
  const day = startOfDay(seconds);
  // An earlier day comes late, out of order. Only a record from the future, left by a wrong clock, is put back.
  const isOutOfOrder = day < startOfDay(current) && current <= nowSeconds;
  return day === current || isOutOfOrder ? undefined : day;
}
