/**
 * QR codes for a terminal: two modules in a character, light on dark turned around so that cameras see dark on light on either
 * kind of screen (the frame of four light modules is part of it; ISO/IEC 18004 section 9.1).
 */

import { encode } from 'uqr';

/** Black on white, whatever the colours of the terminal are; and back. */
const COLOURS = '\u001b[30;107m';
const RESET = '\u001b[0m';
const QUIET_ZONE = 4;

/** The lines of a QR code, `isColoured` where the terminal shall be told to show dark on light. */
export function renderQr(text: string, isColoured: boolean): string[] {
  const { data, size } = encode(text, { ecc: 'L', border: QUIET_ZONE });
  const isDark = (row: number, column: number) => data[row]?.[column] ?? false;
  const lines: string[] = [];
  for (let row = 0; row < size; row += 2) {
    let line = '';
    for (let column = 0; column < size; column++) {
      const [upper, lower] = [isDark(row, column), isDark(row + 1, column)];
      // Without colours a drawn block is the colour of letters: light, on the dark screens most terminals are.
      line += isColoured ? BLOCKS[key(upper, lower)] : BLOCKS[key(!upper, !lower)];
    }
    lines.push(isColoured ? COLOURS + line + RESET : line);
  }
  return lines;
}

function key(upper: boolean, lower: boolean): number {
  return (upper ? 2 : 0) + (lower ? 1 : 0);
}

const BLOCKS = [' ', '▄', '▀', '█'];
