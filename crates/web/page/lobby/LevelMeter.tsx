import { useEffect, useRef } from 'react';
import { useTranslation } from 'react-i18next';

import styles from './lobby.module.css';

/** The microphone's level. It is painted past React: thirty renders a second would be waste. */
export function LevelMeter({ stream }: { stream: MediaStream | undefined }) {
  const { t } = useTranslation();
  const bar = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const element = bar.current;
    if (stream === undefined || element === null) return;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    analyser.fftSize = 1024;
    context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let shown = 0;
    const timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const rms = Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
      // -50 dB to -10 dB fills the bar; it rises at once and falls slowly, as a meter does.
      const level = Math.min(1, Math.max(0, (20 * Math.log10(rms + 1e-6) + 50) / 40));
      shown = Math.max(level, shown * 0.85);
      element.style.transform = `scaleX(${shown.toFixed(3)})`;
    }, 50);
    return () => {
      clearInterval(timer);
      void context.close();
      element.style.transform = 'scaleX(0)';
    };
  }, [stream]);
  return (
    <div className={styles['meter']} role="img" aria-label={t('lobby.level')}>
      <div ref={bar} className={styles['meterBar']} />
    </div>
  );
}
