/**
 * What readable text looks like in the characters of an armor, as probabilities, for text-scan.ts.
 *
 * A model says how likely each of the 64 characters is in text of its kind. A character c scores log2(64 * p(c)) bits: what is
 * common in text and rare in ciphertext scores high, the rest below 0. For ciphertext, whose characters are independent and
 * equally likely, 2^score has the mean sum p(c) = 1. So 2 to the sum of scores from any place on is a nonnegative martingale, and
 * by Ville's inequality the probability that such a sum ever reaches t bits is at most 2^-t, however long the data is.
 * Sums may begin at every character, with every model: n characters and k models make it n * k * 2^-t. Nothing is approximated:
 * scores are rounded down, so that the mean is at most 1.
 *
 * With {@link LIMIT_BITS} = 62 and five models of characters and one of bytes, a message of the default 30 MB (31e6 characters,
 * 24e6 bytes) is refused wrongly with a probability below (5 * 31e6 + 24e6) * 2^-62 = 4e-11, one of 100 KB below 2e-13.
 * A text adds about 1.5 bits per character: half of all texts of 44 characters are refused and nearly all of 60, wherever they are
 * (docs/filtermail.md).
 */

const BASE64 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
/** Scores are whole numbers of this part of a bit. */
export const PARTS_OF_A_BIT = 16;
/** Where a sum of scores is refused, bits and parts. */
export const LIMIT_BITS = 62;
export const LIMIT = LIMIT_BITS * PARTS_OF_A_BIT;
/** Below which no sum is worth the next block. A block of text adds about 28 bits. */
export const SMALL = 6 * PARTS_OF_A_BIT;
/** Places for models. */
export const STRIDE = 8;

/** Letters in a thousand of English, German, French, Spanish, Italian and Portuguese together, a to z. */
const PER_MILLE = [
  85, 15, 32, 42, 135, 15, 18, 35, 73, 4, 10, 45, 28, 72, 68, 25, 6, 66, 68, 68, 42, 14, 12, 3, 10, 9,
] as const;
/** This share of letters is taken as equally likely: other languages, names, abbreviations. */
const ANY_LETTER = 0.2;

function letter(index: number): number {
  return (1 - ANY_LETTER) * (PER_MILLE[index]! / 1000) + ANY_LETTER / 26;
}

/** Shares of the kinds of characters in a text; they add up to 1. */
interface Shares {
  readonly lower: number;
  readonly upper: number;
  readonly digits: number;
  /** `+` and `/`, which stand for blanks. */
  readonly blanks: number;
}

function prose({ lower, upper, digits, blanks }: Shares): number[] {
  return [...BASE64].map((char, value) => {
    if (value < 26) return upper * letter(value);
    if (value < 52) return lower * letter(value - 26);
    return char === '+' || char === '/' ? blanks / 2 : digits / 10;
  });
}

/** Decimal and hexadecimal numbers. */
function numbers(): number[] {
  return [...BASE64].map((char) => {
    if (/\d/.test(char)) return 0.6 / 10;
    if (/[a-f]/i.test(char)) return 0.3 / 12;
    return /[+/]/.test(char) ? 0.08 / 2 : 0.02 / 40;
  });
}

/** Half text, half anything. */
function diluted(model: readonly number[]): number[] {
  return model.map((share) => share / 2 + 1 / 128);
}

const LOWER = prose({ lower: 0.71, upper: 0.11, digits: 0.03, blanks: 0.15 });

const MODELS: readonly (readonly number[])[] = [
  LOWER,
  prose({ lower: 0.09, upper: 0.73, digits: 0.03, blanks: 0.15 }),
  prose({ lower: 0.41, upper: 0.41, digits: 0.03, blanks: 0.15 }),
  numbers(),
  diluted(LOWER),
];

/** ASCII text under the armor's encoding: what is readable for everybody who has a decoder. */
const BYTE_MODEL: readonly number[] = Array.from({ length: 256 }, (_, byte) => {
  const char = String.fromCharCode(byte);
  if (/[a-z]/.test(char)) return 0.68 * letter(byte - 0x61);
  if (/[A-Z]/.test(char)) return 0.05 * letter(byte - 0x41);
  if (char === ' ') return 0.15;
  if (/\d/.test(char)) return 0.04 / 10;
  if (/[\r\n.,:;!?'"()-]/.test(char)) return 0.05 / 14;
  return byte < 0x80 ? 0.01 / 60 : 0.02 / 128;
});

function scores(model: readonly number[]): number[] {
  return model.map((share) => Math.floor(Math.log2(share * model.length) * PARTS_OF_A_BIT));
}

/** {@link STRIDE} scores of each of the 64 characters, one for each model, then of each byte: one model, after those of characters. */
export const SCORES = new Int16Array((64 + 256) * STRIDE);
for (const [index, model] of MODELS.entries()) {
  for (const [value, score] of scores(model).entries()) SCORES[value * STRIDE + index] = score;
}
for (const [byte, score] of scores(BYTE_MODEL).entries()) SCORES[(64 + byte) * STRIDE + MODELS.length] = score;
