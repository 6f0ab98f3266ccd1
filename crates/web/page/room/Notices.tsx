import { useAudioPlayback, useConnectionState } from '@livekit/components-react';
import { ConnectionState, type Room } from 'livekit-client';
import type { ReactNode } from 'react';
import { Button } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import type { Ask } from '../lib/control';
import { PeopleIcon, WarningIcon } from '../ui/icons';
import styles from './room.module.css';

interface Props {
  room: Room;
  notice: string;
  onDismiss: () => void;
  children: ReactNode;
}

/** Banners above the stage: a lost connection, sound that the browser blocks, a failed device. */
export function Notices({ room, notice, onDismiss, children }: Props) {
  const { t } = useTranslation();
  const state = useConnectionState(room);
  const { canPlayAudio, startAudio } = useAudioPlayback(room);
  const lost = state === ConnectionState.Reconnecting || state === ConnectionState.SignalReconnecting;
  return (
    <div className={styles['notices']}>
      {lost && (
        <p className={styles['banner']} role="status" data-banner="reconnecting">
          <WarningIcon />
          <span>{t('room.reconnecting')}</span>
        </p>
      )}
      {!canPlayAudio && (
        <p className={styles['banner']} role="status" data-banner="audio">
          <span>{t('room.audioBlocked')}</span>
          <Button className={styles['bannerButton'] ?? ''} onPress={() => { void startAudio(); }}>
            {t('room.audioStart')}
          </Button>
        </p>
      )}
      {notice !== '' && (
        <p className={styles['banner']} role="alert" data-banner="notice">
          <WarningIcon />
          <span>{notice}</span>
          <Button className={styles['bannerButton'] ?? ''} onPress={onDismiss}>
            {t('room.dismiss')}
          </Button>
        </p>
      )}
      {children}
    </div>
  );
}

/** Tells a host that somebody waits. */
export function Waiting({ count, onShow }: { count: number; onShow: () => void }) {
  const { t } = useTranslation();
  return (
    <div role="status">
      {count > 0 && (
        <p className={styles['banner']} data-banner="waiting">
          <PeopleIcon />
          <span>{t('host.waiting', { count })}</span>
          <Button className={styles['bannerButton'] ?? ''} data-attr="show-waiting" onPress={onShow}>
            {t('host.show')}
          </Button>
        </p>
      )}
    </div>
  );
}

/** A host asks for the microphone or the camera: nobody but this person turns them on. */
export function Request({ ask, onAnswer }: { ask: Ask | undefined; onAnswer: (yes: boolean) => void }) {
  const { t } = useTranslation();
  return (
    <div role="alert">
      {ask !== undefined && (
        <p className={styles['banner']} data-banner="request">
          <span>{t(ask === 'camera' ? 'request.camera' : 'request.unmute')}</span>
          <Button className={styles['bannerButton'] ?? ''} data-attr="request-accept" onPress={() => { onAnswer(true); }}>
            {t(ask === 'camera' ? 'request.acceptCamera' : 'request.acceptUnmute')}
          </Button>
          <Button className={styles['bannerButton'] ?? ''} data-attr="request-decline" onPress={() => { onAnswer(false); }}>
            {t('request.decline')}
          </Button>
        </p>
      )}
    </div>
  );
}
