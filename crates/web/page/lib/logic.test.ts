import { ConnectionError, DisconnectReason } from 'livekit-client';
import { describe, expect, it } from 'vitest';

import { signallingUrl } from './api';
import { pendingCall } from './callStatus';
import { LACKS_H264, cameraCodec, readsH264 } from './codec';
import { deviceProblem } from './deviceProblem';
import { endingOf, failureOf } from './ending';
import { fitGrid } from './grid';
import { gradientIndex, initials } from './initials';
import { meetingId, meetingPath, parseRoute } from './route';
import { visibleTiles } from './visibleTiles';

describe('initials', () => {
  it.each([
    ['Anna Karenina', 'AK'],
    ['анна', 'А'],
    ['Лев Николаевич Толстой', 'ЛТ'],
    ['  (guest)  7 ', 'G7'],
    ['room-board.4', 'R4'],
    ['😀', '?'],
    ['', '?'],
  ])('of %j are %j', (name, letters) => {
    expect(initials(name)).toBe(letters);
  });

  it('stand on a gradient that depends on the identity alone', () => {
    const seen = new Set(Array.from({ length: 50 }, (_, n) => gradientIndex(`anna-${String(n)}`, 6)));
    expect(seen.size).toBe(6);
    expect(gradientIndex('anna', 6)).toBe(gradientIndex('anna', 6));
  });
});

describe('the camera is published', () => {
  const vp8 = { mimeType: 'video/VP8' };
  const baseline = { mimeType: 'video/H264', sdpFmtpLine: 'packetization-mode=1;profile-level-id=42e01f' };
  const high = { mimeType: 'video/H264', sdpFmtpLine: 'packetization-mode=1;profile-level-id=640c1f' };
  it('as VP8 among browsers', () => {
    expect(cameraCodec(undefined, false, true, [vp8, baseline])).toBe('vp8');
    expect(cameraCodec('vp8', false, true, [vp8, baseline])).toBe('vp8');
  });
  it('as H.264 when a room system is there or comes in', () => {
    expect(cameraCodec(undefined, true, true, [vp8, baseline])).toBe('h264');
    expect(cameraCodec('vp8', true, true, [high, baseline])).toBe('h264');
  });
  it('as VP8 when the browser cannot encode what room systems read', () => {
    expect(cameraCodec('vp8', true, true, [vp8])).toBe('vp8');
    expect(cameraCodec('vp8', true, true, [vp8, high])).toBe('vp8');
    expect(cameraCodec('vp8', true, true, [{ mimeType: 'video/H264' }])).toBe('vp8');
  });
  it('as VP8 while somebody cannot read H.264', () => {
    expect(readsH264(LACKS_H264)).toBe(false);
    expect(readsH264({})).toBe(true);
    expect(cameraCodec(undefined, true, false, [vp8, baseline])).toBe('vp8');
    expect(cameraCodec('h264', true, false, [vp8, baseline])).toBe('vp8');
  });
  it('as H.264 still when the last room system has left', () => {
    expect(cameraCodec('h264', false, true, [vp8, baseline])).toBe('h264');
  });
});

describe('a room system', () => {
  it('that is called shows the state of its call until it is active', () => {
    expect(pendingCall({ 'sip.callStatus': 'ringing' })).toBe('ringing');
    expect(pendingCall({ 'sip.callStatus': 'something-new' })).toBe('connecting');
    expect(pendingCall({ 'sip.callStatus': 'active' })).toBeUndefined();
    expect(pendingCall({})).toBeUndefined();
  });
  it('shows that it has put the meeting on hold', () => {
    expect(pendingCall({ 'sip.callStatus': 'active', 'plenum.hold': 'true' })).toBe('hold');
    expect(pendingCall({ 'sip.callStatus': 'active' })).toBeUndefined();
  });
});

describe('the end of a meeting', () => {
  it('is told by its reason', () => {
    expect(endingOf(DisconnectReason.CLIENT_INITIATED)).toBe('left');
    expect(endingOf(DisconnectReason.PARTICIPANT_REMOVED)).toBe('removed');
    expect(endingOf(DisconnectReason.ROOM_DELETED)).toBe('ended');
    expect(endingOf(DisconnectReason.ROOM_CLOSED)).toBe('ended');
    expect(endingOf(DisconnectReason.DUPLICATE_IDENTITY)).toBe('elsewhere');
    expect(endingOf(DisconnectReason.SERVER_SHUTDOWN)).toBe('unreachable');
    expect(endingOf(undefined)).toBe('unreachable');
  });
  it('before it began is a refusal or a fault of the network', () => {
    expect(failureOf(ConnectionError.leaveRequest('', DisconnectReason.JOIN_FAILURE))).toBe('refused');
    expect(failureOf(ConnectionError.notAllowed('', 403))).toBe('refused');
    expect(failureOf(ConnectionError.leaveRequest('', DisconnectReason.SERVER_SHUTDOWN))).toBe('unreachable');
    expect(failureOf(ConnectionError.timeout(''))).toBe('unreachable');
    expect(failureOf(new Error('anything'))).toBe('unreachable');
  });
});

describe('routes', () => {
  it('carry the meeting’s id both ways', () => {
    expect(parseRoute('/')).toEqual({ page: 'home' });
    expect(parseRoute('/m/a/b')).toEqual({ page: 'home' });
    expect(parseRoute(meetingPath('совет 1'))).toEqual({ page: 'meeting', id: 'совет 1' });
    expect(parseRoute('/m/50%')).toEqual({ page: 'meeting', id: '50%' });
  });
  it('are read out of a pasted link', () => {
    expect(meetingId(' https://meet.example.org/m/board?lang=ru ')).toBe('board');
    expect(meetingId(' board ')).toBe('board');
  });
  it('lead to the signalling of the same origin', () => {
    expect(signallingUrl({ protocol: 'https:', host: 'h:7443' })).toBe('wss://h:7443');
    expect(signallingUrl({ protocol: 'http:', host: 'h:7880' })).toBe('ws://h:7880');
  });
});

describe('the grid', () => {
  it('takes the shape of its room', () => {
    expect(fitGrid(4, 1600, 900, 0)).toEqual({ columns: 2, width: 800, height: 450 });
    expect(fitGrid(3, 360, 900, 0).columns).toBe(1);
    expect(fitGrid(2, 1600, 500, 8).columns).toBe(2);
    expect(fitGrid(6, 366, 700, 0, 1)).toEqual({ columns: 2, width: 183, height: 183 });
  });
  it('never overflows', () => {
    for (let count = 1; count <= 25; count += 1) {
      const { columns, width, height } = fitGrid(count, 1010, 613, 8);
      expect(columns * width + (columns - 1) * 8).toBeLessThanOrEqual(1010);
      const rows = Math.ceil(count / columns);
      expect(rows * height + (rows - 1) * 8).toBeLessThanOrEqual(613);
    }
  });
});

describe('a missing device', () => {
  it('is explained by the name of the error', () => {
    expect(deviceProblem(new DOMException('', 'NotAllowedError'))).toBe('Denied');
    expect(deviceProblem(new DOMException('', 'NotFoundError'))).toBe('Missing');
    expect(deviceProblem(new DOMException('', 'NotReadableError'))).toBe('Busy');
    expect(deviceProblem(new TypeError('mediaDevices is undefined'))).toBe('Insecure');
  });
});

describe('a grid that is too small for everybody', () => {
  const people = [0, 40, 10, 30, 20].map((spokeAt, index) => ({ id: index, spokeAt }));
  it('shows those who spoke last, in their usual order', () => {
    expect(visibleTiles(people, 3).map(({ id }) => id)).toEqual([1, 3, 4]);
  });
  it('hides nobody when there is room', () => {
    expect(visibleTiles(people, 5)).toEqual(people);
  });
  it('keeps who came first when nobody has spoken yet', () => {
    const silent = [1, 2, 3].map((id) => ({ id, spokeAt: 0 }));
    expect(visibleTiles(silent, 2).map(({ id }) => id)).toEqual([1, 2]);
  });
});
