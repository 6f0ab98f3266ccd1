import { type JoinProblem, joinProblem } from './joinProblem';

export interface Admission {
  token: string;
  identity: string;
  /** `e2ee`: end-to-end encrypted, with a key that the server does not have. */
  meeting: { id: string; name: string; e2ee?: boolean };
}

/** A place in a meeting's lobby: whoever holds the ticket asks with it how it stands. */
export interface Place {
  ticket: string;
  /** Seconds for which the server may keep such a question. */
  poll: number;
}

export type JoinAnswer = { admission: Admission } | { place: Place } | { problem: JoinProblem };

export function isAdmission(body: unknown): body is Admission {
  if (typeof body !== 'object' || body === null) return false;
  const { token, identity, meeting } = body as Partial<Admission>;
  return typeof token === 'string' && typeof identity === 'string' && typeof meeting?.id === 'string';
}

/** The place in a lobby, if the answer is one. */
export function placeOf(body: unknown): Place | undefined {
  const { waiting } = (body ?? {}) as { waiting?: Partial<Place> };
  if (typeof waiting?.ticket !== 'string' || typeof waiting.poll !== 'number') return undefined;
  return { ticket: waiting.ticket, poll: waiting.poll };
}

export const meetingUrl = (meeting: string, path: string): string =>
  `/api/v1/meetings/${encodeURIComponent(meeting)}/${path}`;

/** With a token that one has already one stays who one is. */
export async function join(meeting: string, name: string, pin: string | undefined, token?: string): Promise<JoinAnswer> {
  try {
    const response = await fetch(meetingUrl(meeting, 'join'), {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify(pin === undefined ? { name } : { name, pin }),
    });
    const body: unknown = await response.json().catch(() => null);
    if (response.ok && isAdmission(body)) return { admission: body };
    const place = response.status === 202 ? placeOf(body) : undefined;
    if (place !== undefined) return { place };
    return { problem: joinProblem(body, response.headers.get('Retry-After'), Date.now()) };
  } catch {
    return { problem: { kind: 'unreachable' } };
  }
}

/** The signalling address: the page's own origin, encrypted when the page is. */
export function signallingUrl(page: { protocol: string; host: string }): string {
  return `${page.protocol === 'https:' ? 'wss' : 'ws'}://${page.host}`;
}
