import { type JoinProblem, joinProblem } from './joinProblem';

export interface Admission {
  token: string;
  identity: string;
  meeting: { id: string; name: string };
}

export type JoinAnswer = { admission: Admission } | { problem: JoinProblem };

function isAdmission(body: unknown): body is Admission {
  if (typeof body !== 'object' || body === null) return false;
  const { token, identity, meeting } = body as Partial<Admission>;
  return typeof token === 'string' && typeof identity === 'string' && typeof meeting?.id === 'string';
}

export async function join(meeting: string, name: string, pin: string | undefined): Promise<JoinAnswer> {
  try {
    const response = await fetch(`/api/v1/meetings/${encodeURIComponent(meeting)}/join`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(pin === undefined ? { name } : { name, pin }),
    });
    const body: unknown = await response.json().catch(() => null);
    if (response.ok && isAdmission(body)) return { admission: body };
    return { problem: joinProblem(body, response.headers.get('Retry-After'), Date.now()) };
  } catch {
    return { problem: { kind: 'unreachable' } };
  }
}

/** The signalling address: the page's own origin, encrypted when the page is. */
export function signallingUrl(page: { protocol: string; host: string }): string {
  return `${page.protocol === 'https:' ? 'wss' : 'ws'}://${page.host}`;
}
