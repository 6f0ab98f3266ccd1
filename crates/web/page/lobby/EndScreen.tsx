import { useTranslation } from 'react-i18next';

import type { Ending } from '../lib/ending';
import { Button } from '../ui/controls';
import styles from './lobby.module.css';
import { Shell } from './Shell';
import { useHeading } from './useHeading';

interface Props {
  ending: Ending;
  onRejoin: () => void;
  onHome: () => void;
}

/** Why one is no longer in the meeting. `data-ending` is for tests. */
export function EndScreen({ ending, onRejoin, onHome }: Props) {
  const { t } = useTranslation();
  const title = t(`end.${ending}Title`);
  const heading = useHeading(title);
  return (
    <Shell>
      <div className={styles['home']} data-ending={ending}>
        <h1 className={styles['title']} ref={heading} tabIndex={-1}>
          {title}
        </h1>
        <p className={styles['lead']}>{t(`end.${ending}Text`)}</p>
        <div className={styles['actions']}>
          <Button onPress={onRejoin}>{t('end.rejoin')}</Button>
          <Button look="secondary" onPress={onHome}>
            {t('end.home')}
          </Button>
        </div>
      </div>
    </Shell>
  );
}
