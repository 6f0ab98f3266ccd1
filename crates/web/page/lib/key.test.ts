import { describe, expect, it } from 'vitest';

import { MAX_PHRASE, fragmentOf, makePhrase, phraseOf } from './key';

describe('a key phrase', () => {
  it.each(['abcd-efgh', 'два слова', '50% & more #1 + ?', 'Stop!', 'a/b?c=d', "(it's)."])('%j travels in a fragment', (phrase) => {
    expect(phraseOf(fragmentOf(phrase))).toBe(phrase);
    expect(phraseOf(` https://meet.example.org/m/board?lang=ru${fragmentOf(phrase)} `)).toBe(phrase);
  });
  it('is percent-encoded, whatever ends it', () => {
    expect(fragmentOf('a b')).toBe('#key=a%20b');
    expect(fragmentOf('Stop!')).toBe('#key=Stop%21');
    expect(fragmentOf('')).toBe('');
  });
  it.each(['', '#', '#key=', '#key=%20', '#other', 'https://meet.example.org/m/board'])('is not in %j', (link) => {
    expect(phraseOf(link)).toBe('');
  });
  it('is read out of a hand-written fragment', () => {
    expect(phraseOf('#key=100%')).toBe('100%');
    expect(phraseOf('#key=%20two%20words%20')).toBe('two words');
  });
  it('is the same however a keyboard composes its letters', () => {
    expect(phraseOf(fragmentOf('мой'.normalize('NFD')))).toBe('мой'.normalize('NFC'));
  });
});

describe('a made phrase', () => {
  it('is five groups of four without look-alikes', () => {
    const phrase = makePhrase();
    expect(phrase).toMatch(/^[a-km-np-z2-9]{4}(-[a-km-np-z2-9]{4}){4}$/);
    expect(phrase.length).toBeLessThanOrEqual(MAX_PHRASE);
  });
  it('is never the same', () => {
    expect(new Set(Array.from({ length: 100 }, makePhrase)).size).toBe(100);
  });
});
