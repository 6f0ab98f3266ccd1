import { type Participant, type Room, RoomEvent } from 'livekit-client';
import { useEffect, useState } from 'react';
import { useTranslation } from 'react-i18next';

import { HAND } from '../lib/control';
import { displayName, handRaised } from './participantState';

// A whole class that enters at once is one sentence, not thirty.
const GATHER_MS = 800;
const NAMED_AT_MOST = 3;

/** Tells screen readers who comes and goes, and who raises a hand. */
export function Announcer({ room }: { room: Room }) {
  const { t } = useTranslation();
  const [text, setText] = useState('');
  useEffect(() => {
    let joined: string[] = [];
    let left: string[] = [];
    let hands: string[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const speak = () => {
      timer = undefined;
      setText(
        [
          joined.length > NAMED_AT_MOST
            ? t('announce.manyJoined', { count: joined.length })
            : joined.map((name) => t('announce.joined', { name })).join('. '),
          left.length > NAMED_AT_MOST
            ? t('announce.manyLeft', { count: left.length })
            : left.map((name) => t('announce.left', { name })).join('. '),
          hands.slice(0, NAMED_AT_MOST).map((name) => t('announce.hand', { name })).join('. '),
        ].filter((part) => part !== '').join('. '),
      );
      joined = [];
      left = [];
      hands = [];
    };
    const soon = () => { timer ??= setTimeout(speak, GATHER_MS); };
    const onJoined = (participant: Participant) => { joined.push(displayName(participant)); soon(); };
    const onLeft = (participant: Participant) => { left.push(displayName(participant)); soon(); };
    const onAttributes = (changed: Record<string, string>, participant: Participant) => {
      if (!(HAND in changed) || !handRaised(participant)) return;
      hands.push(displayName(participant));
      soon();
    };
    room.on(RoomEvent.ParticipantConnected, onJoined).on(RoomEvent.ParticipantDisconnected, onLeft);
    room.on(RoomEvent.ParticipantAttributesChanged, onAttributes);
    return () => {
      clearTimeout(timer);
      room.off(RoomEvent.ParticipantConnected, onJoined).off(RoomEvent.ParticipantDisconnected, onLeft);
      room.off(RoomEvent.ParticipantAttributesChanged, onAttributes);
    };
  }, [room, t]);
  return (
    <div className="visually-hidden" aria-live="polite" data-announcer>
      {text}
    </div>
  );
}
