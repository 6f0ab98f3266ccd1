import { useParticipants } from '@livekit/components-react';
import { type Room, RoomEvent } from 'livekit-client';
import type { ReactNode, Ref } from 'react';
import { Button, ToggleButton, Toolbar } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import { CameraIcon, CameraOffIcon, LeaveIcon, LockIcon, MicIcon, MicOffIcon, PeopleIcon, ScreenIcon } from '../ui/icons';
import type { Actions } from './actions';
import styles from './bar.module.css';
import { DeviceMenu, DeviceSheet } from './DeviceLists';
import { usePhone } from './hooks';
import { useCameraOn, useMayPublish, useMicrophoneOn, useRole, useSharing } from './participantState';

const MEMBERSHIP = [RoomEvent.ParticipantConnected, RoomEvent.ParticipantDisconnected];
const SOUND = ['audioinput', 'audiooutput'] as const;
const PICTURE = ['videoinput'] as const;
const ALL = [...SOUND, ...PICTURE] as const;

interface Props {
  ref: Ref<HTMLDivElement>;
  room: Room;
  title: string;
  /** End to end. */
  encrypted: boolean;
  actions: Actions;
  report: (text: string) => void;
  panelOpen: boolean;
  onPanel: (open: boolean) => void;
}

/** Labels stay the same whatever the state: `aria-pressed` tells it, and robots find `Ctrl+d`. */
export function ControlBar({ ref, room, title, encrypted, actions, report, panelOpen, onPanel }: Props) {
  const { t } = useTranslation();
  const phone = usePhone();
  const me = room.localParticipant;
  const micOn = useMicrophoneOn(me);
  const cameraOn = useCameraOn(me);
  const sharing = useSharing(me);
  const mayPublish = useMayPublish(me);
  const mayShare = useRole(me) !== 'attendee';
  const count = useParticipants({ updateOnlyOn: MEMBERSHIP }).length;
  return (
    <footer className={styles['bar']}>
      <div className={styles['head']}>
        <p className={styles['title']} aria-hidden="true">{title}</p>
        {encrypted && (
          <p className={styles['lock']} data-attr="e2ee">
            <LockIcon size={16} />
            <span className={styles['lockText']}>{t('room.encrypted')}</span>
          </p>
        )}
      </div>
      <Toolbar ref={ref} aria-label={t('room.toolbar')} className={styles['toolbar'] ?? ''}>
        <div className={styles['split']}>
          <Toggle label={t('room.microphone')} name="microphone" device isDisabled={!mayPublish} on={micOn} onChange={(on) => void actions.microphone(on)}>
            {micOn ? <MicIcon size={22} /> : <MicOffIcon size={22} />}
          </Toggle>
          {!phone && <DeviceMenu room={room} label={t('room.microphoneMenu')} kinds={SOUND} report={report} />}
        </div>
        <div className={styles['split']}>
          <Toggle label={t('room.camera')} name="camera" device isDisabled={!mayPublish} on={cameraOn} onChange={(on) => void actions.camera(on)}>
            {cameraOn ? <CameraIcon size={22} /> : <CameraOffIcon size={22} />}
          </Toggle>
          {!phone && <DeviceMenu room={room} label={t('room.cameraMenu')} kinds={PICTURE} report={report} />}
        </div>
        {mayShare && canShare() && (
          <Toggle label={t('room.share')} name="screenshare" on={sharing} onChange={(on) => void actions.share(on)}>
            <ScreenIcon size={22} />
          </Toggle>
        )}
        <Toggle label={`${t('room.participants')}: ${String(count)}`} name="participants" on={panelOpen} onChange={onPanel}>
          <PeopleIcon size={22} />
          <span className={styles['count']} aria-hidden="true">{count}</span>
        </Toggle>
        {phone && <DeviceSheet room={room} label={t('room.more')} kinds={ALL} report={report} />}
        <Button className={`${styles['button']} ${styles['leave']}`} aria-label={t('room.leave')} data-attr="controls-leave" onPress={actions.leave}>
          <LeaveIcon size={22} />
          {!phone && <span>{t('room.leaveShort')}</span>}
        </Button>
      </Toolbar>
    </footer>
  );
}

interface ToggleProps {
  label: string;
  name: string;
  /** A device that is off stands out; other toggles stand out when they are on. */
  device?: boolean;
  isDisabled?: boolean;
  on: boolean;
  onChange: (on: boolean) => void;
  children: ReactNode;
}

function Toggle({ label, name, device = false, isDisabled = false, on, onChange, children }: ToggleProps) {
  return (
    <ToggleButton
      className={`${styles['button']} ${styles[device ? 'device' : 'view']}`}
      aria-label={label}
      data-attr={`controls-${name}`}
      isDisabled={isDisabled}
      isSelected={on}
      onChange={onChange}
    >
      {children}
    </ToggleButton>
  );
}

/** Phones' browsers cannot capture the screen. */
function canShare(): boolean {
  const media = navigator.mediaDevices as MediaDevices | undefined;
  return media !== undefined && 'getDisplayMedia' in media;
}
