// livekit-client tells of a track's unreadable frames once a second at most, a few times a minute.
// One that is alone may be chance; two of them a while apart are another key.
const APART_MS = 900;
const TOGETHER_MS = 10_000;

/** Whose media the key does not fit, out of single frames that could not be decrypted. */
export class Mismatches {
  readonly #since = new Map<string, number>();
  readonly #found = new Set<string>();

  /** Whether this frame makes it certain; says so once for each participant. */
  failed(identity: string, now: number): boolean {
    if (this.#found.has(identity)) return false;
    const passed = now - (this.#since.get(identity) ?? -Infinity);
    if (passed > TOGETHER_MS) this.#since.set(identity, now);
    const certain = passed >= APART_MS && passed <= TOGETHER_MS;
    if (certain) this.#found.add(identity);
    return certain;
  }

  /** Whoever comes again may have another key. */
  left(identity: string): void {
    this.#since.delete(identity);
    this.#found.delete(identity);
  }
}
