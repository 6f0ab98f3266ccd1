/** Why the server refuses to let somebody in, as the page tells it apart. */
export type JoinProblem =
  | { kind: 'pinRequired' | 'pinWrong' | 'notFound' | 'nameInvalid' | 'removed' | 'lobbyFull' | 'unreachable' }
  | { kind: 'signInFirst' | 'notInvited' | 'over' }
  /** `opensAt`: from when on one may join, in milliseconds since 1970. */
  | { kind: 'notYet'; opensAt: number }
  | { kind: 'tooMany'; seconds: number }
  | { kind: 'generic'; detail?: string };

/** An RFC 9457 problem with the server's own `code`. Nothing in it is trusted to be there. */
interface ProblemBody {
  code?: unknown;
  detail?: unknown;
}

const DEFAULT_RETRY_SECONDS = 30;

/** Retry-After is a number of seconds or an HTTP date (RFC 9110, 10.2.3). */
export function retrySeconds(header: string | null, now: number): number {
  if (header === null || header.trim() === '') return DEFAULT_RETRY_SECONDS;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(1, Math.ceil(seconds));
  const date = Date.parse(header);
  return Number.isNaN(date) ? DEFAULT_RETRY_SECONDS : Math.max(1, Math.ceil((date - now) / 1000));
}

export function joinProblem(body: unknown, retryAfter: string | null, now: number): JoinProblem {
  const { code, detail }: ProblemBody = typeof body === 'object' && body !== null ? body : {};
  switch (code) {
    case 'pin_required':
      return { kind: 'pinRequired' };
    case 'pin_wrong':
      return { kind: 'pinWrong' };
    case 'meeting_not_found':
      return { kind: 'notFound' };
    case 'name_invalid':
      return { kind: 'nameInvalid' };
    case 'removed':
      return { kind: 'removed' };
    case 'lobby_full':
      return { kind: 'lobbyFull' };
    case 'sign_in_first':
      return { kind: 'signInFirst' };
    case 'not_invited':
      return { kind: 'notInvited' };
    case 'over':
      return { kind: 'over' };
    case 'not_yet':
      return { kind: 'notYet', opensAt: now + retrySeconds(retryAfter, now) * 1000 };
    case 'too_many_attempts':
      return { kind: 'tooMany', seconds: retrySeconds(retryAfter, now) };
    default:
      return typeof detail === 'string' && detail !== '' ? { kind: 'generic', detail } : { kind: 'generic' };
  }
}
