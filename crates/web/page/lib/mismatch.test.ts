import { beforeEach, describe, expect, it } from 'vitest';

import { Mismatches } from './mismatch';

describe('a key that does not fit', () => {
  let mismatches: Mismatches;
  beforeEach(() => { mismatches = new Mismatches(); });

  it('is told of when frames fail for a second', () => {
    expect(mismatches.failed('anna', 0)).toBe(false);
    expect(mismatches.failed('anna', 20)).toBe(false); // her other track
    expect(mismatches.failed('boris', 900)).toBe(false);
    expect(mismatches.failed('anna', 1000)).toBe(true);
  });
  it('is told of once', () => {
    expect([0, 1000, 2000, 65_000, 66_000].map((at) => mismatches.failed('anna', at))).toEqual([false, true, false, false, false]);
  });
  it('is told of again of whoever comes again', () => {
    mismatches.failed('anna', 0);
    mismatches.failed('anna', 1000);
    mismatches.left('anna');
    expect([5000, 6000].map((at) => mismatches.failed('anna', at))).toEqual([false, true]);
  });
  it('is not seen in frames that fail now and then', () => {
    expect([0, 60_000, 120_000].map((at) => mismatches.failed('anna', at))).toEqual([false, false, false]);
    expect(mismatches.failed('anna', 121_000)).toBe(true);
  });
});
