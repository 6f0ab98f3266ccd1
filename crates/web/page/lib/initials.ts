/** Up to two letters that stand for a person or a room on a tile. */
export function initials(name: string): string {
  const words = name
    .trim()
    .split(/[\s_.-]+/u)
    .map((word) => [...word].find((character) => /[\p{L}\p{N}]/u.test(character)))
    .filter((letter) => letter !== undefined);
  const first = words[0];
  if (first === undefined) return '?';
  const last = words.length > 1 ? words[words.length - 1] : undefined;
  return (first + (last ?? '')).toLocaleUpperCase();
}

/** Which of `count` gradients a participant gets: the same one in every browser. */
export function gradientIndex(identity: string, count: number): number {
  let hash = 0;
  for (const character of identity) hash = (hash * 31 + (character.codePointAt(0) ?? 0)) >>> 0;
  return hash % count;
}
