import { useState } from 'react';
import { Button } from 'react-aria-components';
import { useTranslation } from 'react-i18next';

import { fragmentOf } from '../lib/key';
import { meetingPath } from '../lib/route';
import styles from './host.module.css';

export interface Encryption {
  /** What everybody's key is made of. */
  phrase: string;
  /** Leaves for the screen that asks for a phrase. */
  onOther: () => void;
}

interface Props {
  meeting: string;
  encryption: Encryption;
  report: (text: string) => void;
}

/** What to do with an end-to-end encrypted meeting's key. Tests find `[data-attr=copy-link|key-change]`. */
export function KeyTools({ meeting, encryption, report }: Props) {
  const { t } = useTranslation();
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    setCopied(false); // or a second time would not be told
    try {
      await navigator.clipboard.writeText(location.origin + meetingPath(meeting) + fragmentOf(encryption.phrase));
      setCopied(true);
    } catch {
      report(t('key.copyFailed'));
    }
  };
  return (
    <div className={styles['tools']} role="group" aria-label={t('key.tools')}>
      <Button className={styles['button'] ?? ''} data-attr="copy-link" onPress={() => void copy()}>{t('key.copy')}</Button>
      <Button className={styles['button'] ?? ''} data-attr="key-change" onPress={encryption.onOther}>{t('key.change')}</Button>
      <span className={styles['told']} role="status">{copied && t('key.copied')}</span>
    </div>
  );
}
