import { type TrackReferenceOrPlaceholder, VideoTrack, isTrackReference } from '@livekit/components-react';
import { ConnectionQuality, type Participant } from 'livekit-client';
import { memo } from 'react';
import { useTranslation } from 'react-i18next';

import { gradientIndex, initials } from '../lib/initials';
import gradients from '../ui/gradients.module.css';
import { MicOffIcon, RoomSystemIcon } from '../ui/icons';
import {
  isRoomSystem,
  useCameraOn,
  useMicrophoneOn,
  useName,
  usePendingCall,
  useQuality,
  useSpeaking,
} from './participantState';
import styles from './tile.module.css';

/**
 * A participant's picture, or initials without one. `useTracks` makes new references at each
 * event: the comparison keeps a tile from rendering for others' changes.
 *
 * Tests find it by `data-identity` and `data-kind` (`standard`, `sip`); its video is
 * `video.lk-participant-media-video[data-lk-source=camera]`.
 */
export const Tile = memo(
  function Tile({ track }: { track: TrackReferenceOrPlaceholder }) {
    const { participant } = track;
    const name = useName(participant);
    const cameraOn = useCameraOn(participant);
    const speaking = useSpeaking(participant);
    const gradient = gradients[`gradient${String(gradientIndex(participant.identity, 6))}`];
    return (
      <article
        className={`${styles['tile']} ${gradient}`}
        data-tile
        data-identity={participant.identity}
        data-kind={isRoomSystem(participant) ? 'sip' : 'standard'}
        data-source="camera"
        data-speaking={speaking}
        aria-label={name}
      >
        <div className={styles['placeholder']} aria-hidden="true">
          <span className={gradients['initials']}>{initials(name)}</span>
        </div>
        {cameraOn && isTrackReference(track) && <VideoTrack trackRef={track} className={styles['video']} />}
        <Strip participant={participant} name={name} />
      </article>
    );
  },
  (before, after) =>
    before.track.participant === after.track.participant &&
    before.track.publication === after.track.publication &&
    before.track.source === after.track.source,
);

function Strip({ participant, name }: { participant: Participant; name: string }) {
  const { t } = useTranslation();
  const micOn = useMicrophoneOn(participant);
  const call = usePendingCall(participant);
  return (
    <div className={styles['strip']}>
      {!micOn && call === undefined && (
        <span className={styles['off']} role="img" aria-label={t('room.muted')}>
          <MicOffIcon size={16} />
        </span>
      )}
      {isRoomSystem(participant) && (
        <span className={styles['kind']}>
          <RoomSystemIcon size={16} />
          <span className={styles['kindText']}>{t('room.roomSystem')}</span>
        </span>
      )}
      <span className={styles['name']}>
        {name}
        {participant.isLocal && ` (${t('room.you')})`}
      </span>
      {call !== undefined && <span className={styles['call']}>{t(`call.${call}`)}</span>}
      <Quality participant={participant} />
    </div>
  );
}

const QUALITY = {
  [ConnectionQuality.Excellent]: { bars: 3, label: 'room.qualityExcellent' },
  [ConnectionQuality.Good]: { bars: 2, label: 'room.qualityGood' },
  [ConnectionQuality.Poor]: { bars: 1, label: 'room.qualityPoor' },
  [ConnectionQuality.Lost]: { bars: 0, label: 'room.qualityLost' },
} as const;

function Quality({ participant }: { participant: Participant }) {
  const { t } = useTranslation();
  const quality = useQuality(participant);
  if (quality === ConnectionQuality.Unknown) return null;
  const { bars, label } = QUALITY[quality];
  return (
    <span className={styles['quality']} role="img" aria-label={t(label)} data-bars={bars}>
      {[1, 2, 3].map((bar) => (
        <span key={bar} className={styles['bar']} data-on={bar <= bars} />
      ))}
    </span>
  );
}
