import { type Participant, type Room, RoomEvent } from 'livekit-client';
import { useEffect, useEffectEvent } from 'react';
import { useTranslation } from 'react-i18next';

import { Mismatches } from '../lib/mismatch';
import { displayName } from './participantState';

// With another key than everybody else's, all of them are one notice.
const GATHER_MS = 1500;
const NAMED_AT_MOST = 3;

/** Tells, once for each, whose picture and sound were encrypted with another key. */
export function useMismatch(room: Room, report: (text: string) => void): void {
  const { t, i18n } = useTranslation();
  const tell = useEffectEvent((names: string[]) => {
    report(
      names.length > NAMED_AT_MOST
        ? t('key.differsMany', { count: names.length })
        : t('key.differs', { names: new Intl.ListFormat(i18n.language).format(names) }),
    );
  });
  useEffect(() => {
    const mismatches = new Mismatches();
    let names: string[] = [];
    let timer: ReturnType<typeof setTimeout> | undefined;
    const onError = (error: Error, participant?: Participant) => {
      // The reason comes out of the worker as the message's beginning. Others are no fault of the key.
      if (participant === undefined || !error.message.startsWith('InvalidKey')) return;
      if (!mismatches.failed(participant.identity, Date.now())) return;
      names.push(displayName(participant));
      timer ??= setTimeout(() => {
        timer = undefined;
        tell(names);
        names = [];
      }, GATHER_MS);
    };
    const onLeft = ({ identity }: Participant) => { mismatches.left(identity); };
    room.on(RoomEvent.EncryptionError, onError).on(RoomEvent.ParticipantDisconnected, onLeft);
    return () => {
      clearTimeout(timer);
      room.off(RoomEvent.EncryptionError, onError).off(RoomEvent.ParticipantDisconnected, onLeft);
    };
  }, [room]);
}
