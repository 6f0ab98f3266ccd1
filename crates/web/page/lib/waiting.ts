import { type Admission, type Place, isAdmission, meetingUrl } from './api';
import type { Ending } from './ending';

/** How a waiting ended: with a token, or with the reason why there is none. */
export type Outcome = { admission: Admission } | { ending: Ending };

// A server that restarts, or a network that changes, needs some seconds.
const RETRY_MS = 2000;
// The answer may take its time on the way, too.
const GRACE_MS = 10_000;

/** What an answer to "how does it stand?" means; undefined: ask again. */
export function outcomeOf(status: number, body: unknown): Outcome | undefined {
  if (status === 200 && isAdmission(body)) return { admission: body };
  switch (status) {
    case 403:
      return { ending: 'declined' };
    case 404:
      return { ending: 'lapsed' };
    case 410:
      return { ending: 'ended' };
    default:
      return undefined;
  }
}

/** Asks until a host has decided; undefined when `signal` ends it before. */
export async function waitForHost(meeting: string, place: Place, signal: AbortSignal): Promise<Outcome | undefined> {
  const url = meetingUrl(meeting, `lobby/${encodeURIComponent(place.ticket)}`);
  while (!signal.aborted) {
    const asked = await ask(url, place.poll * 1000 + GRACE_MS, signal);
    if (asked === 'pending') continue;
    if (asked !== undefined) return asked;
    await new Promise((over) => { setTimeout(over, RETRY_MS); });
  }
  return undefined;
}

async function ask(url: string, patience: number, signal: AbortSignal): Promise<Outcome | 'pending' | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(patience)]) });
    const body: unknown = await response.json().catch(() => null);
    return response.status === 202 ? 'pending' : outcomeOf(response.status, body);
  } catch {
    return undefined; // no network, or the page thought better of it
  }
}

/** Gives the place up. What fails here the server finds out by itself. */
export function stopWaiting(meeting: string, { ticket }: Place): void {
  const url = meetingUrl(meeting, `lobby/${encodeURIComponent(ticket)}`);
  fetch(url, { method: 'DELETE', keepalive: true }).catch(() => undefined);
}
