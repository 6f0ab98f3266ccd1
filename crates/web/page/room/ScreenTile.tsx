import { type TrackReference, VideoTrack } from '@livekit/components-react';
import { Button } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import { ScreenIcon } from '../ui/icons';
import { isRoomSystem, useName, useScreenHeld } from './participantState';
import styles from './tile.module.css';

/** A shared screen on the stage. One's own is not shown: it would mirror itself without end. */
export function ScreenTile({ track, onStop }: { track: TrackReference; onStop: () => void }) {
  const { t } = useTranslation();
  const { participant } = track;
  const name = useName(participant);
  const held = useScreenHeld(participant);
  return (
    <article
      className={`${styles['tile']} ${styles['screen']}`}
      data-tile
      data-identity={participant.identity}
      data-kind={isRoomSystem(participant) ? 'sip' : 'standard'}
      data-source="screen_share"
      data-held={held || undefined}
      aria-label={t('room.screenOf', { name })}
    >
      {participant.isLocal ? (
        <div className={styles['ownScreen']}>
          <ScreenIcon size={48} />
          <p>{t('room.yourScreen')}</p>
          <Button className={styles['stop'] ?? ''} onPress={onStop}>
            {t('room.stopSharing')}
          </Button>
        </div>
      ) : (
        <>
          {held && (
            <div className={styles['placeholder']}>
              <span className={styles['held']}>{t('room.held')}</span>
            </div>
          )}
          <VideoTrack trackRef={track} className={styles['video']} />
          <div className={styles['strip']}>
            <ScreenIcon size={16} />
            <span className={styles['name']}>{t('room.screenOf', { name })}</span>
          </div>
        </>
      )}
    </article>
  );
}
