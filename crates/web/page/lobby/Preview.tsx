import { useEffect, useRef } from 'react';
import { ToggleButton } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import { gradientIndex, initials } from '../lib/initials';
import { CameraIcon, CameraOffIcon, MicIcon, MicOffIcon } from '../ui/icons';
import tile from '../ui/gradients.module.css';
import styles from './lobby.module.css';
import type { LocalDevice } from './useLocalDevice';

interface Props {
  name: string;
  camera: LocalDevice;
  cameraOn: boolean;
  micOn: boolean;
  onCamera: (on: boolean) => void;
  onMic: (on: boolean) => void;
}

export function Preview({ name, camera, cameraOn, micOn, onCamera, onMic }: Props) {
  const { t } = useTranslation();
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    if (video.current !== null) video.current.srcObject = camera.stream ?? null;
  }, [camera.stream]);
  const starting = cameraOn && camera.problem === undefined;
  return (
    <div className={`${styles['preview']} ${tile[`gradient${String(gradientIndex(name, 6))}`]}`}>
      <video
        ref={video}
        className={styles['previewVideo']}
        aria-label={t('lobby.preview')}
        autoPlay
        muted
        playsInline
        hidden={camera.stream === undefined}
      />
      {camera.stream === undefined && (
        <div className={styles['previewOff']}>
          <span className={tile['initials']} aria-hidden="true">
            {initials(name)}
          </span>
          <span>{t(starting ? 'lobby.cameraStarting' : 'lobby.cameraOff')}</span>
        </div>
      )}
      <div className={styles['previewBar']}>
        <ToggleButton
          className={styles['previewToggle'] ?? ''}
          aria-label={t('room.microphone')}
          isSelected={micOn}
          onChange={onMic}
        >
          {micOn ? <MicIcon size={22} /> : <MicOffIcon size={22} />}
        </ToggleButton>
        <ToggleButton
          className={styles['previewToggle'] ?? ''}
          aria-label={t('room.camera')}
          isSelected={cameraOn}
          onChange={onCamera}
        >
          {cameraOn ? <CameraIcon size={22} /> : <CameraOffIcon size={22} />}
        </ToggleButton>
      </div>
    </div>
  );
}
