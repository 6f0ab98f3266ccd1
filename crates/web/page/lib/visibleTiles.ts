export interface Candidate {
  /** Milliseconds since the epoch when this participant last spoke; 0 for never. */
  spokeAt: number;
}

/**
 * The tiles that are shown when there are more than `limit`: those who spoke last, in the order
 * of `all`, so that nobody who stays visible changes places.
 */
export function visibleTiles<T extends Candidate>(all: readonly T[], limit: number): T[] {
  if (all.length <= limit) return [...all];
  const recent = [...all].sort((one, other) => other.spokeAt - one.spokeAt).slice(0, limit);
  const shown = new Set(recent);
  return all.filter((candidate) => shown.has(candidate));
}
