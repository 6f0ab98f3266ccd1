import { useParticipants } from '@livekit/components-react';
import { type Participant, RoomEvent } from 'livekit-client';
import { type SubmitEvent, useEffect, useRef, useState } from 'react';
import { Button, Input, TextField } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import { gradientIndex, initials } from '../lib/initials';
import gradients from '../ui/gradients.module.css';
import { CameraIcon, CameraOffIcon, CloseIcon, HandIcon, MicIcon, MicOffIcon, RoomSystemIcon, ScreenIcon } from '../ui/icons';
import { CameraPad } from './CameraPad';
import type { Host } from './host';
import hostStyles from './host.module.css';
import { type Encryption, KeyTools } from './KeyTools';
import { HostTools } from './LobbyList';
import { ParticipantMenu } from './ParticipantMenu';
import { isRoomSystem, useCameraOn, useCameraSteered, useHandRaised, useMicrophoneOn, useName, usePendingCall, useRole, useSharing } from './participantState';
import styles from './panel.module.css';

const MEMBERSHIP = [RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected];

interface Props {
  meeting: string;
  host: Host;
  encryption: Encryption | undefined;
  report: (text: string) => void;
  onClose: () => void;
}

export function ParticipantsPanel({ meeting, host, encryption, report, onClose }: Props) {
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
      {encryption !== undefined && <KeyTools meeting={meeting} encryption={encryption} report={report} />}
      <HostTools host={host} />
      <ul className={styles['list']}>
        {participants.map((participant) => <Row key={participant.identity} participant={participant} host={host} />)}
      </ul>
    </aside>
  );
}

/** Tests find a row by `data-roster-identity`; `data-call` is the state of a call not yet answered. */
function Row({ participant, host }: { participant: Participant; host: Host }) {
  const { t } = useTranslation();
  const name = useName(participant);
  const call = usePendingCall(participant);
  const role = useRole(participant);
  const [renaming, setRenaming] = useState(false);
  const [steering, setSteering] = useState(false);
  const cameraSteered = useCameraSteered(participant);
  const roomSystem = isRoomSystem(participant);
  const gradient = gradients[`gradient${String(gradientIndex(participant.identity, 6))}`];
  const detail = roomSystem ? t('room.roomSystem') : role === 'host' ? t('host.role') : undefined;
  return (
    <li
      className={styles['row']}
      data-roster-identity={participant.identity}
      data-kind={roomSystem ? 'sip' : 'standard'}
      data-call={call}
      data-role={role}
    >
      <span className={`${styles['avatar']} ${gradient}`} aria-hidden="true">
        {roomSystem ? <RoomSystemIcon size={18} /> : initials(name)}
      </span>
      {renaming ? (
        <RenameForm name={name} onDone={(wanted) => {
          setRenaming(false);
          if (wanted !== undefined) host.act((control) => control.rename(participant.identity, wanted));
        }} />
      ) : (
        <>
          <span className={styles['who']}>
            <span className={styles['name']}>
              {name}
              {participant.isLocal && ` (${t('room.you')})`}
            </span>
            {detail !== undefined && <span className={styles['detail']}>{detail}</span>}
          </span>
          {call !== undefined ? <span className={styles['call']}>{t(`call.${call}`)}</span> : <States participant={participant} />}
          {host.isHost && (
            <ParticipantMenu
              participant={participant}
              host={host}
              onRename={() => { setRenaming(true); }}
              onSteerCamera={() => { setSteering(true); }}
            />
          )}
        </>
      )}
      {steering && host.isHost && cameraSteered && (
        <CameraPad identity={participant.identity} name={name} host={host} onClose={() => { setSteering(false); }} />
      )}
    </li>
  );
}

function States({ participant }: { participant: Participant }) {
  const { t } = useTranslation();
  const micOn = useMicrophoneOn(participant);
  const cameraOn = useCameraOn(participant);
  const sharing = useSharing(participant);
  const handRaised = useHandRaised(participant);
  return (
    <span className={styles['states']}>
      {handRaised && <span role="img" aria-label={t('room.handRaised')} data-hand><HandIcon size={18} /></span>}
      {sharing && <span role="img" aria-label={t('room.sharing')}><ScreenIcon size={18} /></span>}
      <span role="img" aria-label={t(micOn ? 'room.unmuted' : 'room.muted')} data-off={!micOn}>
        {micOn ? <MicIcon size={18} /> : <MicOffIcon size={18} />}
      </span>
      <span role="img" aria-label={t(cameraOn ? 'room.cameraIsOn' : 'room.cameraIsOff')} data-off={!cameraOn}>
        {cameraOn ? <CameraIcon size={18} /> : <CameraOffIcon size={18} />}
      </span>
    </span>
  );
}

/** `onDone` without a name: it stays as it is. */
function RenameForm({ name, onDone }: { name: string; onDone: (wanted: string | undefined) => void }) {
  const { t } = useTranslation();
  const [wanted, setWanted] = useState(name);
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const trimmed = wanted.trim();
    onDone(trimmed === '' || trimmed === name ? undefined : trimmed);
  };
  return (
    <form className={hostStyles['rename']} onSubmit={submit}>
      <TextField
        // It stands where the menu was that was just used.
        // eslint-disable-next-line jsx-a11y/no-autofocus
        autoFocus
        aria-label={t('host.newName')}
        className={hostStyles['who'] ?? ''}
        value={wanted}
        onChange={setWanted}
        maxLength={64}
        onKeyDown={(event) => {
          if (event.key === 'Escape') onDone(undefined);
          else event.continuePropagation();
        }}
      >
        <Input className={hostStyles['input'] ?? ''} />
      </TextField>
      <Button type="submit" className={hostStyles['button'] ?? ''}>{t('host.save')}</Button>
    </form>
  );
}
