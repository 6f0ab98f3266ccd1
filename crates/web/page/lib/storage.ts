/** What the page remembers between visits. Storage may be forbidden: then nothing is remembered. */
const PREFIX = 'plenum.';

export function recall(key: string): string {
  try {
    return localStorage.getItem(PREFIX + key) ?? '';
  } catch {
    return '';
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // a private window; the next visit asks again
  }
}
