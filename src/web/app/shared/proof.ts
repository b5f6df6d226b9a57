// A proof of work: the number whose SHA-256, behind the salt, is the challenge (ALTCHA, version 1). The hash is computed here:
// the browser's own exists only on pages that came over TLS, and waits for each hash.

export interface WorkToDo {
  challenge: string;
  salt: string;
  maxnumber?: number;
}

/** The words of FIPS 180-4, 4.2.2 and 5.3.3: fractions of the roots of the first primes. */
const [ROUND_WORDS, FIRST_STATE] = (() => {
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n += 1) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  const fraction = (root: number) => ((root - Math.floor(root)) * 2 ** 32) | 0;
  return [Int32Array.from(primes, (p) => fraction(Math.cbrt(p))), Int32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p)))];
})();

const schedule = new Int32Array(64);

function compress(state: Int32Array, block: DataView, at: number): void {
  const right = (word: number, by: number) => (word >>> by) | (word << (32 - by));
  for (let i = 0; i < 16; i += 1) schedule[i] = block.getInt32(at + 4 * i);
  for (let i = 16; i < 64; i += 1) {
    const [x, y] = [schedule[i - 15]!, schedule[i - 2]!];
    const low = right(x, 7) ^ right(x, 18) ^ (x >>> 3);
    const high = right(y, 17) ^ right(y, 19) ^ (y >>> 10);
    schedule[i] = (schedule[i - 16]! + low + schedule[i - 7]! + high) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number];
  for (let i = 0; i < 64; i += 1) {
    const first = (h + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + ((e & f) ^ (~e & g)) + ROUND_WORDS[i]! + schedule[i]!) | 0;
    const second = ((right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    [h, g, f, e, d, c, b, a] = [g, f, e, (d + first) | 0, c, b, a, (first + second) | 0];
  }
  [a, b, c, d, e, f, g, h].forEach((word, index) => {
    state[index] = state[index]! + word;
  });
}

function sha256(text: string): Int32Array {
  const bytes = new TextEncoder().encode(text);
  const padded = new Uint8Array((Math.floor((bytes.length + 8) / 64) + 1) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 4, bytes.length * 8);
  const state = FIRST_STATE.slice();
  for (let at = 0; at < padded.length; at += 64) compress(state, view, at);
  return state;
}

export const MAXNUMBER = 1_000_000;

/** Returns the number if it is at least `from` and below `to`. */
export function search({ challenge, salt }: WorkToDo, from: number, to: number): number | undefined {
  const wanted = Int32Array.from(challenge.match(/.{8}/g) ?? [], (word) => Number.parseInt(word, 16) | 0);
  for (let number = from; number < to; number += 1) {
    if (sha256(salt + number).every((word, at) => word === wanted[at])) return number;
  }
  return undefined;
}
