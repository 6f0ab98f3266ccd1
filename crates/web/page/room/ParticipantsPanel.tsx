import { useParticipants } from '@livekit/components-react';
import { type Participant, RoomEvent } from 'livekit-client';
import { useEffect, useRef } from 'react';
import { Button } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import { gradientIndex, initials } from '../lib/initials';
import gradients from '../ui/gradients.module.css';
import { CameraIcon, CameraOffIcon, CloseIcon, MicIcon, MicOffIcon, RoomSystemIcon, ScreenIcon } from '../ui/icons';
import { isRoomSystem, useCameraOn, useMicrophoneOn, useName, usePendingCall, useSharing } from './participantState';
import styles from './panel.module.css';

const MEMBERSHIP = [RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected];

export function ParticipantsPanel({ onClose }: { onClose: () => void }) {
  const { t } = useTranslation();
  const participants = useParticipants({ updateOnlyOn: MEMBERSHIP });
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    heading.current?.focus();
    const pressed = (event: KeyboardEvent) => {
      if (event.key === 'Escape' && !event.defaultPrevented) onClose();
    };
    addEventListener('keydown', pressed);
    return () => {
      removeEventListener('keydown', pressed);
    };
  }, [onClose]);
  return (
    <aside className={styles['panel']} aria-labelledby="participants-heading">
      <header className={styles['header']}>
        <h2 id="participants-heading" ref={heading} tabIndex={-1} className={styles['heading']}>
          {t('room.participants')} <span className={styles['count']}>{participants.length}</span>
        </h2>
        <Button className={styles['close'] ?? ''} aria-label={t('room.close')} onPress={onClose}>
          <CloseIcon />
        </Button>
      </header>
      <ul className={styles['list']}>
        {participants.map((participant) => <Row key={participant.identity} participant={participant} />)}
      </ul>
    </aside>
  );
}

/** Tests find a row by `data-roster-identity`; `data-call` is the state of a call not yet answered. */
function Row({ participant }: { participant: Participant }) {
  const { t } = useTranslation();
  const name = useName(participant);
  const micOn = useMicrophoneOn(participant);
  const cameraOn = useCameraOn(participant);
  const sharing = useSharing(participant);
  const call = usePendingCall(participant);
  const roomSystem = isRoomSystem(participant);
  const gradient = gradients[`gradient${String(gradientIndex(participant.identity, 6))}`];
  return (
    <li
      className={styles['row']}
      data-roster-identity={participant.identity}
      data-kind={roomSystem ? 'sip' : 'standard'}
      data-call={call}
    >
      <span className={`${styles['avatar']} ${gradient}`} aria-hidden="true">
        {roomSystem ? <RoomSystemIcon size={18} /> : initials(name)}
      </span>
      <span className={styles['who']}>
        <span className={styles['name']}>
          {name}
          {participant.isLocal && ` (${t('room.you')})`}
        </span>
        {roomSystem && <span className={styles['detail']}>{t('room.roomSystem')}</span>}
      </span>
      {call !== undefined ? (
        <span className={styles['call']}>{t(`call.${call}`)}</span>
      ) : (
        <span className={styles['states']}>
          {sharing && <span role="img" aria-label={t('room.sharing')}><ScreenIcon size={18} /></span>}
          <span role="img" aria-label={t(micOn ? 'room.unmuted' : 'room.muted')} data-off={!micOn}>
            {micOn ? <MicIcon size={18} /> : <MicOffIcon size={18} />}
          </span>
          <span role="img" aria-label={t(cameraOn ? 'room.cameraIsOn' : 'room.cameraIsOff')} data-off={!cameraOn}>
            {cameraOn ? <CameraIcon size={18} /> : <CameraOffIcon size={18} />}
          </span>
        </span>
      )}
    </li>
  );
}
