import { describe, expect, it } from 'vitest';

import en from './en.json';
import { pickLanguage } from './language';
import ru from './ru.json';

const PLURAL = /_(zero|one|two|few|many|other)$/;

function leaves(node: object, prefix = ''): [string, string][] {
  return Object.entries(node).flatMap(([key, value]: [string, unknown]) =>
    typeof value === 'object' && value !== null
      ? leaves(value, `${prefix}${key}.`)
      : [[prefix + key, String(value)] as [string, string]],
  );
}

const placeholders = (text: string) => [...text.matchAll(/{{(\w+)}}/g)].map((match) => match[1]).sort();
const base = (key: string) => key.replace(PLURAL, '');

describe('translations', () => {
  it('have the same keys in both languages', () => {
    const keys = (tree: object) => [...new Set(leaves(tree).map(([key]) => base(key)))].sort();
    expect(keys(ru)).toEqual(keys(en));
  });

  it.each([
    ['en', en],
    ['ru', ru],
  ])('have every plural form of %s', (language, tree) => {
    const all = new Set(leaves(tree).map(([key]) => key));
    const wanted = new Intl.PluralRules(language).resolvedOptions().pluralCategories;
    const counted = new Set([...all].filter((key) => PLURAL.test(key)).map(base));
    expect(counted.size).toBeGreaterThan(0);
    for (const key of counted) {
      for (const category of wanted) expect(all, key).toContain(`${key}_${category}`);
    }
  });

  it('take the same values in both languages and are never empty', () => {
    const english = new Map(leaves(en).map(([key, text]) => [base(key), placeholders(text)]));
    for (const [key, text] of leaves(ru)) {
      expect(text.trim(), key).not.toBe('');
      expect(placeholders(text), key).toEqual(english.get(base(key)));
    }
  });

  it('keep the names by which robots find the toggles', () => {
    for (const tree of [en, ru]) {
      expect(tree.room.microphone).toContain('Ctrl+d');
      expect(tree.room.camera).toContain('Ctrl+e');
    }
  });
});

describe('the language', () => {
  it('comes from the address first, then from the last choice, then from the browser', () => {
    expect(pickLanguage('?lang=ru', 'en', ['en-GB'])).toBe('ru');
    expect(pickLanguage('', 'ru', ['en-GB'])).toBe('ru');
    expect(pickLanguage('', null, ['fr', 'ru-RU', 'en'])).toBe('ru');
  });

  it('is English when nothing known is asked for', () => {
    expect(pickLanguage('?lang=xx', 'yy', ['fr'])).toBe('en');
  });
});
