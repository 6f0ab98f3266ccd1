export const LANGUAGES = ['en', 'ru'] as const;
export type Language = (typeof LANGUAGES)[number];

const KEY = 'plenum.language';

function known(tag: string | null | undefined): Language | undefined {
  const primary = tag?.toLowerCase().split('-')[0];
  return LANGUAGES.find((language) => language === primary);
}

/** The first known of: `?lang=`, what was chosen before, what the browser prefers; else English. */
export function pickLanguage(query: string, stored: string | null, preferred: readonly string[]): Language {
  return (
    known(new URLSearchParams(query).get('lang')) ??
    known(stored) ??
    preferred.map(known).find((language) => language !== undefined) ??
    'en'
  );
}

export function storedLanguage(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage is forbidden in some private windows
  }
}

export function storeLanguage(language: Language): void {
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // the choice then lasts as long as the page
  }
}
