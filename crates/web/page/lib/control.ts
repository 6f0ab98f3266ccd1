import { meetingUrl } from './api';

/** The attribute in which the server shows what somebody is in the meeting. */
export const ROLE = 'plenum.role';
/** The attribute of a room system whose camera hosts may steer, with the value `true`. */
export const CAMERA = 'plenum.camera';
/** The attribute of who has raised a hand, with the value `true`. */
export const HAND = 'plenum.hand';
/** Topics of the server's data messages. */
export const LOBBY_TOPIC = 'plenum.lobby';
export const REQUEST_TOPIC = 'plenum.request';

export interface Live {
  lobby: boolean;
  locked: boolean;
  mute_on_entry: boolean;
  allow_unmute: boolean;
}

export interface Waiting {
  identity: string;
  name: string;
  kind: string;
}

export interface LobbyView {
  live: Live;
  waiting: Waiting[];
}

/** What a camera is to do; empty: stand still. */
export interface CameraOrder {
  pan?: 'left' | 'right';
  tilt?: 'up' | 'down';
  zoom?: 'in' | 'out';
}

export type Ask = 'unmute' | 'camera';

const flag = (value: unknown): boolean => value === true;

/** The lobby out of the server's answer; undefined if it is none. */
export function lobbyOf(body: unknown): LobbyView | undefined {
  const { live, waiting } = (body ?? {}) as { live?: Partial<Live>; waiting?: unknown };
  if (live === undefined || !Array.isArray(waiting)) return undefined;
  const people = (waiting as Partial<Waiting>[]).flatMap(({ identity, name, kind }) =>
    typeof identity === 'string' && typeof name === 'string' ? [{ identity, name, kind: String(kind) }] : [],
  );
  return {
    live: {
      lobby: flag(live.lobby),
      locked: flag(live.locked),
      mute_on_entry: flag(live.mute_on_entry),
      allow_unmute: flag(live.allow_unmute),
    },
    waiting: people,
  };
}

/** What a host asks this person for, out of a data message; undefined if it asks for nothing known. */
export function askOf(payload: Uint8Array): Ask | undefined {
  try {
    const { ask } = (JSON.parse(new TextDecoder().decode(payload)) ?? {}) as { ask?: unknown };
    return ask === 'unmute' || ask === 'camera' ? ask : undefined;
  } catch {
    return undefined;
  }
}

/** What hosts do, by the server's API and with the rights of their token. */
export class Control {
  readonly #meeting: string;
  readonly #token: string;

  constructor(meeting: string, token: string) {
    this.#meeting = meeting;
    this.#token = token;
  }

  async lobby(): Promise<LobbyView | undefined> {
    return lobbyOf(await this.#ask('GET', 'lobby'));
  }

  admit(identity: string) { return this.#post(`lobby/${encodeURIComponent(identity)}/admit`); }
  refuse(identity: string) { return this.#post(`lobby/${encodeURIComponent(identity)}/refuse`); }
  admitAll() { return this.#post('lobby/admit-all'); }
  setLive(change: Partial<Live>) { return this.#ask('PATCH', 'live', change); }
  muteAll() { return this.#post('mute-all', {}); }
  mute(identity: string, source: 'microphone' | 'camera' | 'screen', muted: boolean) {
    return this.#post(`${participant(identity)}/mute`, { source, muted });
  }
  ask(identity: string, what: Ask) { return this.#post(`${participant(identity)}/ask`, { what }); }
  rename(identity: string, name: string) { return this.#ask('PATCH', participant(identity), { name }); }
  setRole(identity: string, role: 'host' | 'presenter' | 'attendee') {
    return this.#ask('PATCH', participant(identity), { role });
  }
  toLobby(identity: string) { return this.#post(`${participant(identity)}/to-lobby`); }
  remove(identity: string) { return this.#ask('DELETE', participant(identity)); }
  steerCamera(identity: string, order: CameraOrder) { return this.#post(`${participant(identity)}/camera`, order); }
  end() { return this.#post('end'); }

  #post(path: string, body?: object): Promise<unknown> {
    return this.#ask('POST', path, body);
  }

  /** Throws where the server refuses, or is not there. */
  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    const response = await fetch(meetingUrl(this.#meeting, path), {
      method,
      headers: { 'Content-Type': 'application/json', Authorization: `Bearer ${this.#token}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`${method} ${path}: ${String(response.status)}`);
    return response.json().catch(() => null);
  }
}

const participant = (identity: string): string => `participants/${encodeURIComponent(identity)}`;
