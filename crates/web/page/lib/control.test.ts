import { afterEach, describe, expect, it, vi } from 'vitest';

import { Control, askOf, lobbyOf } from './control';

const bytes = (text: string) => new TextEncoder().encode(text);

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('what the server tells of the lobby', () => {
  it('is who waits and how the door stands', () => {
    const body = {
      live: { lobby: true, locked: false, mute_on_entry: true, allow_unmute: true, attendees_listen: false },
      waiting: [{ identity: 'a', name: 'Anna', kind: 'standard', since_ms: 1 }, { identity: 7 }],
    };
    expect(lobbyOf(body)).toEqual({
      live: { lobby: true, locked: false, mute_on_entry: true, allow_unmute: true },
      waiting: [{ identity: 'a', name: 'Anna', kind: 'standard' }],
    });
  });

  it.each([null, 'text', {}, { live: {} }, { waiting: [] }])('is not %j', (body) => {
    expect(lobbyOf(body)).toBeUndefined();
  });
});

describe('a request of a host', () => {
  it.each([
    ['{"ask":"unmute"}', 'unmute'],
    ['{"ask":"camera"}', 'camera'],
    ['{"ask":"dance"}', undefined],
    ['null', undefined],
    ['{', undefined],
  ])('%s asks for %s', (text, ask) => {
    expect(askOf(bytes(text))).toBe(ask);
  });
});

describe('what a host does', () => {
  it('goes to the server with the token, and says whom it is meant for', async () => {
    const fetched = vi.fn<typeof fetch>().mockImplementation(() => Promise.resolve(new Response(null, { status: 204 })));
    vi.stubGlobal('fetch', fetched);
    const control = new Control('board', 'mine');
    await control.mute('sip_a/b', 'camera', true);
    await control.setLive({ locked: true });
    await control.remove('anna');
    const sent = fetched.mock.calls.map(([url, init]) => [init?.method, url, init?.body]);
    expect(sent).toEqual([
      ['POST', '/api/v1/meetings/board/participants/sip_a%2Fb/mute', '{"source":"camera","muted":true}'],
      ['PATCH', '/api/v1/meetings/board/live', '{"locked":true}'],
      ['DELETE', '/api/v1/meetings/board/participants/anna', undefined],
    ]);
    expect(fetched.mock.calls[0]?.[1]?.headers).toMatchObject({ Authorization: 'Bearer mine' });
  });

  it('fails aloud where the server refuses', async () => {
    vi.stubGlobal('fetch', vi.fn<typeof fetch>().mockResolvedValue(new Response('{}', { status: 403 })));
    await expect(new Control('board', 'mine').muteAll()).rejects.toThrow('403');
  });
});
