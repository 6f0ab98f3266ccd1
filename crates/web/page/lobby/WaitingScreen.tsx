import { useEffect, useEffectEvent } from 'react';
import { useTranslation } from 'react-i18next';

import type { Admission, Place } from '../lib/api';
import type { Ending } from '../lib/ending';
import { stopWaiting, waitForHost } from '../lib/waiting';
import { Button } from '../ui/controls';
import styles from './lobby.module.css';
import { Shell } from './Shell';
import { useHeading } from './useHeading';

interface Props {
  meeting: string;
  place: Place;
  /** A host moved this person out of the meeting. */
  moved: boolean;
  onAdmitted: (admission: Admission) => void;
  onEnd: (ending: Ending) => void;
  onCancel: () => void;
}

/** Before the meeting, until a host decides. `data-waiting` is for tests. */
export function WaitingScreen({ meeting, place, moved, onAdmitted, onEnd, onCancel }: Props) {
  const { t } = useTranslation();
  const title = t(moved ? 'waiting.movedTitle' : 'waiting.title');
  const heading = useHeading(title);
  const admitted = useEffectEvent(onAdmitted);
  const ended = useEffectEvent(onEnd);
  useEffect(() => {
    const over = new AbortController();
    void waitForHost(meeting, place, over.signal).then((outcome) => {
      if (outcome === undefined || over.signal.aborted) return;
      if ('admission' in outcome) admitted(outcome.admission);
      else ended(outcome.ending);
    });
    return () => { over.abort(); };
  }, [meeting, place]);
  const cancel = () => {
    stopWaiting(meeting, place);
    onCancel();
  };
  return (
    <Shell>
      <div className={styles['home']} data-waiting>
        <p className={styles['eyebrow']}>{t('lobby.meeting')} {meeting}</p>
        <h1 className={styles['title']} ref={heading} tabIndex={-1}>{title}</h1>
        <p className={styles['lead']} role="status">{t(moved ? 'waiting.movedText' : 'waiting.text')}</p>
        <div className={styles['actions']}>
          <Button look="secondary" onPress={cancel}>{t('waiting.cancel')}</Button>
        </div>
      </div>
    </Shell>
  );
}
