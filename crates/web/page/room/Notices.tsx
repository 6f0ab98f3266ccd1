import { useAudioPlayback, useConnectionState } from '@livekit/components-react';
import { ConnectionState, type Room } from 'livekit-client';
import { Button } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import { WarningIcon } from '../ui/icons';
import styles from './room.module.css';

interface Props {
  room: Room;
  notice: string;
  onDismiss: () => void;
}

/** Banners above the stage: a lost connection, sound that the browser blocks, a failed device. */
export function Notices({ room, notice, onDismiss }: Props) {
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
    </div>
  );
}
