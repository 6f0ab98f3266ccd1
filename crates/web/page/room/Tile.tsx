import { VideoTrack } from '@livekit/components-react';
import { ConnectionQuality, type Participant, Track } from 'livekit-client';
import { memo } from 'react';
import { useTranslation } from 'react-i18next';

import { gradientIndex, initials } from '../lib/initials';
import gradients from '../ui/gradients.module.css';
import { HandIcon, MicOffIcon, RoomSystemIcon } from '../ui/icons';
import {
  isRoomSystem,
  useCameraHeld,
  useCameraOn,
  useCameras,
  useHandRaised,
  useMicrophoneOn,
  useName,
  usePendingCall,
  useQuality,
  useSpeaking,
} from './participantState';
import styles from './tile.module.css';

/**
 * A participant's picture, or initials without one. It renders again for its own changes only.
 *
 * Tests find it by `data-identity` and `data-kind` (`standard`, `sip`); its video is
 * `video.lk-participant-media-video[data-lk-source=camera]`.
 */
export const Tile = memo(function Tile({ participant }: { participant: Participant }) {
  const { t } = useTranslation();
  const name = useName(participant);
  const cameraOn = useCameraOn(participant);
  const cameras = useCameras(participant);
  const held = useCameraHeld(participant) && cameraOn;
  const micOn = useMicrophoneOn(participant);
  const speaking = useSpeaking(participant) && micOn;
  const call = usePendingCall(participant);
  const gradient = gradients[`gradient${String(gradientIndex(participant.identity, 6))}`];
  return (
    <article
      className={`${styles['tile']} ${gradient}`}
      data-tile
      data-identity={participant.identity}
      data-kind={isRoomSystem(participant) ? 'sip' : 'standard'}
      data-source="camera"
      data-speaking={speaking}
      data-call={call}
      data-held={held || undefined}
      aria-label={name}
    >
      <div className={styles['placeholder']}>
        <span className={gradients['initials']} aria-hidden="true">{initials(name)}</span>
        {call !== undefined && <span className={styles['call']}>{t(`call.${call}`)}</span>}
        {held && <span className={styles['held']}>{t('room.held')}</span>}
      </div>
      {cameraOn && cameras.map((publication) => (
        // The later lies above the earlier, which is seen until the later has its first picture.
        <VideoTrack
          key={publication.trackSid}
          trackRef={{ participant, publication, source: Track.Source.Camera }}
          className={styles['video']}
        />
      ))}
      <Strip participant={participant} name={name} muted={!micOn && call === undefined} />
    </article>
  );
});

function Strip({ participant, name, muted }: { participant: Participant; name: string; muted: boolean }) {
  const { t } = useTranslation();
  const handRaised = useHandRaised(participant);
  return (
    <div className={styles['strip']}>
      {handRaised && (
        <span className={styles['kind']} role="img" aria-label={t('room.handRaised')} data-hand>
          <HandIcon size={16} />
        </span>
      )}
      {muted && (
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
