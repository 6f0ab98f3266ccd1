import { afterEach, describe, expect, it, vi } from 'vitest';

import { join, placeOf } from './api';
import { outcomeOf, stopWaiting, waitForHost } from './waiting';

const admission = { token: 't', identity: 'anna-1', meeting: { id: 'board', name: 'Board' } };
const place = { ticket: 'T/1', poll: 25 };

const answer = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });

afterEach(() => {
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

describe('an answer to who waits', () => {
  it.each([
    [200, admission, { admission }],
    [403, { code: 'refused' }, { ending: 'declined' }],
    [404, { code: 'ticket_not_found' }, { ending: 'lapsed' }],
    [410, { code: 'meeting_over' }, { ending: 'ended' }],
    [200, null, undefined],
    [503, null, undefined],
  ])('%i means what it says', (status, body, outcome) => {
    expect(outcomeOf(status, body)).toEqual(outcome);
  });

  it.each([null, 'text', {}, { waiting: null }, { waiting: { ticket: 1, poll: 2 } }, { waiting: { ticket: 'x' } }])(
    '%j is no place in a lobby',
    (body) => {
      expect(placeOf(body)).toBeUndefined();
    },
  );
});

describe('who has to wait', () => {
  it('asks again while no host has decided, also after the network was away', async () => {
    vi.useFakeTimers();
    const fetched = vi
      .fn<typeof fetch>()
      .mockResolvedValueOnce(answer(202, { waiting: place }))
      .mockRejectedValueOnce(new TypeError('no network'))
      .mockResolvedValueOnce(answer(200, admission));
    vi.stubGlobal('fetch', fetched);
    const outcome = waitForHost('board', place, new AbortController().signal);
    await vi.advanceTimersByTimeAsync(2000);
    expect(await outcome).toEqual({ admission });
    expect(fetched).toHaveBeenCalledTimes(3);
    expect(fetched.mock.calls[0]?.[0]).toBe('/api/v1/meetings/board/lobby/T%2F1');
  });

  it('asks no more once the page thought better of it', async () => {
    const fetched = vi.fn<typeof fetch>();
    vi.stubGlobal('fetch', fetched);
    expect(await waitForHost('board', place, AbortSignal.abort())).toBeUndefined();
    expect(fetched).not.toHaveBeenCalled();
  });

  it('gives the place up by name', () => {
    const fetched = vi.fn<typeof fetch>().mockResolvedValue(new Response(null, { status: 204 }));
    vi.stubGlobal('fetch', fetched);
    stopWaiting('board', place);
    expect(fetched.mock.calls[0]?.[0]).toBe('/api/v1/meetings/board/lobby/T%2F1');
    expect(fetched.mock.calls[0]?.[1]?.method).toBe('DELETE');
  });
});

describe('joining', () => {
  it('ends in the lobby where the server says so, with the token that one has', async () => {
    const fetched = vi.fn<typeof fetch>().mockResolvedValue(answer(202, { waiting: place }));
    vi.stubGlobal('fetch', fetched);
    expect(await join('board', 'Anna', undefined, 'mine')).toEqual({ place });
    expect(fetched.mock.calls[0]?.[1]?.headers).toMatchObject({ Authorization: 'Bearer mine' });
  });

  it('tells whoever was removed', async () => {
    vi.stubGlobal('fetch', vi.fn<typeof fetch>().mockResolvedValue(answer(403, { code: 'removed' })));
    expect(await join('board', 'Anna', undefined, 'mine')).toEqual({ problem: { kind: 'removed' } });
  });
});
