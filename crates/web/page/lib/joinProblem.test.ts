import { describe, expect, it } from 'vitest';

import { joinProblem, retrySeconds } from './joinProblem';

describe('a refusal to join', () => {
  it.each([
    ['pin_required', 'pinRequired'],
    ['pin_wrong', 'pinWrong'],
    ['meeting_not_found', 'notFound'],
    ['name_invalid', 'nameInvalid'],
    ['removed', 'removed'],
    ['lobby_full', 'lobbyFull'],
    ['sign_in_first', 'signInFirst'],
    ['not_invited', 'notInvited'],
    ['over', 'over'],
  ])('with the code %s is told as %s', (code, kind) => {
    expect(joinProblem({ code, detail: 'unused' }, null, 0)).toEqual({ kind });
  });

  it('for too many attempts says when to come back', () => {
    expect(joinProblem({ code: 'too_many_attempts' }, '12', 0)).toEqual({ kind: 'tooMany', seconds: 12 });
  });

  it('for a meeting that has not begun says from when on one may join', () => {
    expect(joinProblem({ code: 'not_yet' }, '3600', 5000)).toEqual({ kind: 'notYet', opensAt: 3_605_000 });
  });

  it('with an unknown code shows what the server says', () => {
    expect(joinProblem({ code: 'closed', detail: 'Closed on Sundays' }, null, 0)).toEqual({
      kind: 'generic',
      detail: 'Closed on Sundays',
    });
  });

  it.each([null, 'text', 7, [], { detail: 4 }])('survives the body %j', (body) => {
    expect(joinProblem(body, null, 0)).toEqual({ kind: 'generic' });
  });
});

describe('Retry-After', () => {
  it('may be seconds or a date, and is never less than a second', () => {
    const now = Date.parse('Wed, 21 Oct 2026 07:28:00 GMT');
    expect(retrySeconds('Wed, 21 Oct 2026 07:28:20 GMT', now)).toBe(20);
    expect(retrySeconds('Wed, 21 Oct 2026 07:00:00 GMT', now)).toBe(1);
    expect(retrySeconds('0', now)).toBe(1);
    expect(retrySeconds('soon', now)).toBe(30);
    expect(retrySeconds(null, now)).toBe(30);
  });
});
