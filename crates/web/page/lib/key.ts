/**
 * The key phrase of an end-to-end encrypted meeting. It travels in the fragment of an address, which
 * browsers never send: the server does not see it.
 */

/** What a field may hold; made phrases are far shorter. */
export const MAX_PHRASE = 128;

// No l and o, 0 and 1, which look alike. 32 of them: a byte's remainder favours none.
const SYMBOLS = 'abcdefghijkmnpqrstuvwxyz23456789';

/** Phrases that look alike become the same: systems differ in how they write й, for one. */
export function normalPhrase(typed: string): string {
  return typed.trim().normalize('NFC');
}

/** The phrase in an address or its fragment; empty without one. */
export function phraseOf(link: string): string {
  const written = /#key=(\S*)/.exec(link)?.[1] ?? '';
  try {
    return normalPhrase(decodeURIComponent(written));
  } catch {
    return normalPhrase(written); // a stray % in a hand-written link
  }
}

/** The fragment that carries a phrase; none for an empty one. */
export function fragmentOf(phrase: string): string {
  if (phrase === '') return '';
  // Programs that make links out of text leave a closing sign such as ! or . outside.
  const written = encodeURIComponent(phrase).replace(/[^\w%-]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);
  return `#key=${written}`;
}

/** A phrase that nobody guesses (100 bits) and that can be read out. */
export function makePhrase(): string {
  const group = () =>
    Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => SYMBOLS.charAt(byte % SYMBOLS.length)).join('');
  return Array.from({ length: 5 }, group).join('-');
}
