import { type RemoteParticipant, type Room, RoomEvent } from 'livekit-client';
import { useCallback, useEffect, useMemo, useState } from 'react';
import { useTranslation } from 'react-i18next';

import type { Admission } from '../lib/api';
import { type Ask, Control, LOBBY_TOPIC, type LobbyView, REQUEST_TOPIC, askOf } from '../lib/control';
import { useRole } from './participantState';

export interface Host {
  /** Undefined for who is no host, and until the server has told. */
  lobby: LobbyView | undefined;
  isHost: boolean;
  /** Does something by the server; a failure is shown. */
  act: (what: (control: Control) => Promise<unknown>) => void;
}

/** What the server alone sends: what a participant sends comes with its name. */
type OnData = (
  payload: Uint8Array,
  from?: RemoteParticipant,
  kind?: unknown,
  topic?: string,
  encryption?: unknown,
  identity?: string,
) => void;

function useServerData(room: Room, wanted: string, hear: (payload: Uint8Array) => void): void {
  useEffect(() => {
    const onData: OnData = (payload, from, _kind, topic, _encryption, identity = '') => {
      // Whoever is hidden has an identity all the same.
      if (from === undefined && identity === '' && topic === wanted) hear(payload);
    };
    room.on(RoomEvent.DataReceived, onData);
    return () => {
      room.off(RoomEvent.DataReceived, onData);
    };
  }, [room, wanted, hear]);
}

/** The lobby and the acts of a host; for others there is nothing in it. */
export function useHost(room: Room, admission: Admission, report: (text: string) => void): Host {
  const { t } = useTranslation();
  const isHost = useRole(room.localParticipant) === 'host';
  const [lobby, setLobby] = useState<LobbyView>();
  const control = useMemo(() => new Control(admission.meeting.id, admission.token), [admission]);
  const look = useCallback(() => {
    if (!isHost) return;
    // What fails here comes with the next news.
    control.lobby().then((view) => { if (view !== undefined) setLobby(view); }, () => undefined);
  }, [control, isHost]);
  useEffect(() => {
    look();
    // Data that were sent while the connection was away are lost.
    room.on(RoomEvent.Reconnected, look);
    return () => {
      room.off(RoomEvent.Reconnected, look);
    };
  }, [room, look]);
  useServerData(room, LOBBY_TOPIC, look);
  const act = useCallback((what: (control: Control) => Promise<unknown>) => {
    what(control).catch(() => { report(t('host.failed')); });
  }, [control, report, t]);
  return { lobby: isHost ? lobby : undefined, isHost, act };
}

/** What a host asks this person for, until it is answered. */
export function useRequest(room: Room): [Ask | undefined, () => void] {
  const [ask, setAsk] = useState<Ask>();
  const hear = useCallback((payload: Uint8Array) => {
    const asked = askOf(payload);
    if (asked !== undefined) setAsk(asked);
  }, []);
  useServerData(room, REQUEST_TOPIC, hear);
  return [ask, useCallback(() => { setAsk(undefined); }, [])];
}
